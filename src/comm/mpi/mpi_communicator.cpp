// SPDX-License-Identifier: Apache-2.0
#include "comm/mpi/mpi_communicator.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "comm/mpi/host_side.hpp"
#include "comm/mpi/mpi_reduce.hpp"

namespace m2 {
namespace {

class MpiTransfer : public Transfer {
 public:
  MpiTransfer(const ExecSpace& exec, MPI_Comm comm, std::int64_t piece_bytes, HostInput in, HostOutput out)
      : exec_(exec), in_(std::move(in)), out_(std::move(out)), pieces_(comm, piece_bytes) {}

  // Offsets and bytes of what goes to each rank and comes from it.
  void start(int rank, const std::vector<std::int64_t>& send_bytes, const std::vector<std::int64_t>& recv_bytes) {
    const int size = int(send_bytes.size());
    std::vector<std::int64_t> send_begin(size), recv_begin(size);
    std::exclusive_scan(send_bytes.begin(), send_bytes.end(), send_begin.begin(), std::int64_t(0));
    std::exclusive_scan(recv_bytes.begin(), recv_bytes.end(), recv_begin.begin(), std::int64_t(0));
    for (int i = 1; i < size; ++i) {
      const int from = (rank - i + size) % size;
      pieces_.receive(out_.data() + recv_begin[from], recv_bytes[from], from);
    }
    for (int i = 1; i < size; ++i) {
      const int to = (rank + i) % size;
      pieces_.send(in_.data() + send_begin[to], send_bytes[to], to);
    }
    // While the others' rows travel. Both sides are where MPI reaches them: all on the host, or all in MemorySpace.
    std::byte* to = out_.data() + recv_begin[rank];
    const std::byte* from = in_.data() + send_begin[rank];
    if (reaches_memory(HostUser::mpi)) {
      copy_bytes(exec_, to, from, send_bytes[rank]);
    } else {
      std::copy_n(from, send_bytes[rank], to);
    }
  }

  void wait(const ExecSpace& exec) override {
    pieces_.wait();
    exec_.fence("m2::comm: own rows");
    out_.finish(exec);
  }

 private:
  ExecSpace exec_;
  HostInput in_;
  HostOutput out_;
  MpiPieces pieces_;
};

int rank_of(MPI_Comm comm) {
  int rank = 0;
  check_mpi(MPI_Comm_rank(comm, &rank), "MPI_Comm_rank");
  return rank;
}

int size_of(MPI_Comm comm) {
  int size = 0;
  check_mpi(MPI_Comm_size(comm, &size), "MPI_Comm_size");
  return size;
}

std::int64_t sum_of(const std::vector<std::int64_t>& values) {
  return std::accumulate(values.begin(), values.end(), std::int64_t(0));
}

}  // namespace

MpiCommunicator::MpiCommunicator(MPI_Comm comm, std::int64_t piece_bytes)
    : Communicator(rank_of(comm), size_of(comm)), comm_(comm), piece_bytes_(piece_bytes) {}

void MpiCommunicator::barrier() { check_mpi(MPI_Barrier(mpi()), "MPI_Barrier"); }

std::vector<std::int64_t> MpiCommunicator::all_gather_values(std::span<const std::int64_t> values) {
  std::vector<std::int64_t> all(values.size() * std::size_t(size()));
  const int count = int(values.size());
  check_mpi(MPI_Allgather(values.data(), count, MPI_INT64_T, all.data(), count, MPI_INT64_T, mpi()), "MPI_Allgather");
  return all;
}

std::vector<std::int64_t> MpiCommunicator::exchange(std::span<const std::int64_t> values) {
  M2_REQUIRE(values.size() % std::size_t(size()) == 0, "exchange: {} values cannot be shared out evenly to {} ranks",
             values.size(), size());
  std::vector<std::int64_t> received(values.size());
  const int count = int(values.size()) / size();
  check_mpi(MPI_Alltoall(values.data(), count, MPI_INT64_T, received.data(), count, MPI_INT64_T, mpi()),
            "MPI_Alltoall");
  return received;
}

std::vector<std::int64_t> MpiCommunicator::max_values(std::span<const std::int64_t> values) {
  std::vector<std::int64_t> largest(values.size());
  check_mpi(MPI_Allreduce(values.data(), largest.data(), int(values.size()), MPI_INT64_T, MPI_MAX, mpi()),
            "MPI_Allreduce");
  return largest;
}

std::vector<std::string> MpiCommunicator::all_gather_texts(const std::string& text) {
  const std::int64_t own_bytes = std::int64_t(text.size());
  const std::vector<std::int64_t> bytes = all_gather_values(std::span(&own_bytes, 1));
  std::vector<std::string> texts(size());
  for (int r = 0; r < size(); ++r) {
    texts[r] = r == rank() ? text : std::string(std::size_t(bytes[r]), '\0');
    broadcast_on_host(reinterpret_cast<std::byte*>(texts[r].data()), bytes[r], r);
  }
  return texts;
}

std::string MpiCommunicator::broadcast_text(const std::string& text, int root) {
  std::int64_t bytes = std::int64_t(text.size());
  broadcast_on_host(reinterpret_cast<std::byte*>(&bytes), sizeof(bytes), root);
  std::string result = rank() == root ? text : std::string(std::size_t(bytes), '\0');
  broadcast_on_host(reinterpret_cast<std::byte*>(result.data()), bytes, root);
  return result;
}

std::unique_ptr<MpiCommunicator> MpiCommunicator::split_mpi(int color) const {
  MPI_Comm part = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split(mpi(), color, rank(), &part), "MPI_Comm_split");
  return std::make_unique<MpiCommunicator>(part, piece_bytes_);
}

std::unique_ptr<MpiCommunicator> MpiCommunicator::split_mpi_by_host() const {
  MPI_Comm part = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(mpi(), MPI_COMM_TYPE_SHARED, rank(), MPI_INFO_NULL, &part), "MPI_Comm_split_type");
  return std::make_unique<MpiCommunicator>(part, piece_bytes_);
}

void MpiCommunicator::reduce(const ExecSpace& exec, DType dtype, const void* in, void* out, std::int64_t count,
                             Reduction reduction, SumOrder order) {
  const std::int64_t bytes = count * std::int64_t(size_bytes(dtype));
  const HostInput host_in(exec, HostUser::process, in, bytes);
  const HostOutput host_out(exec, HostUser::process, out, bytes);
  mpi_reduce({mpi(), rank(), size(), piece_bytes_}, dtype, host_in.data(), host_out.data(), count, reduction, order);
  host_out.finish(exec);
}

void MpiCommunicator::sum_blocks(const ExecSpace& exec, DType dtype, const void* in, void* out, std::int64_t count,
                                 SumOrder order) {
  const std::int64_t bytes = count * std::int64_t(size_bytes(dtype));
  const HostInput host_in(exec, HostUser::process, in, bytes * size());
  const HostOutput host_out(exec, HostUser::process, out, bytes);
  mpi_sum_blocks({mpi(), rank(), size(), piece_bytes_}, dtype, host_in.data(), host_out.data(), count, order);
  host_out.finish(exec);
}

void MpiCommunicator::gather_bytes(const ExecSpace& exec, const std::byte* in, std::byte* out, std::int64_t bytes) {
  const HostInput host_in(exec, HostUser::mpi, in, bytes);
  const HostOutput host_out(exec, HostUser::mpi, out, bytes * size());
  gather_on_host(host_in.data(), host_out.data(), bytes);
  host_out.finish(exec);
}

void MpiCommunicator::broadcast_bytes(const ExecSpace& exec, std::byte* inout, std::int64_t bytes, int root) {
  if (rank() == root) {
    const HostInput host(exec, HostUser::mpi, inout, bytes);
    // MPI has one function for both sides, and only reads here.
    broadcast_on_host(const_cast<std::byte*>(host.data()), bytes, root);
  } else {
    const HostOutput host(exec, HostUser::mpi, inout, bytes);
    broadcast_on_host(host.data(), bytes, root);
    host.finish(exec);
  }
}

std::unique_ptr<Transfer> MpiCommunicator::start_exchange(const ExecSpace& exec, const std::byte* in,
                                                          const std::vector<std::int64_t>& send_bytes, std::byte* out,
                                                          const std::vector<std::int64_t>& recv_bytes) {
  auto transfer =
      std::make_unique<MpiTransfer>(exec, mpi(), piece_bytes_, HostInput(exec, HostUser::mpi, in, sum_of(send_bytes)),
                                    HostOutput(exec, HostUser::mpi, out, sum_of(recv_bytes)));
  transfer->start(rank(), send_bytes, recv_bytes);
  return transfer;
}

void MpiCommunicator::gather_on_host(const std::byte* in, std::byte* out, std::int64_t bytes) const {
  if (bytes <= piece_bytes_) {
    check_mpi(MPI_Allgather(in, int(bytes), MPI_BYTE, out, int(bytes), MPI_BYTE, mpi()), "MPI_Allgather");
    return;
  }
  // Not MPI_Allgather with a type that spreads pieces: Open MPI 5.0.7 lays them elsewhere between two hosts.
  MpiPieces pieces(mpi(), piece_bytes_);
  for (int r = 0; r < size(); ++r) {  // to itself, too: the array may be on a device
    pieces.receive(out + r * bytes, bytes, r);
    pieces.send(in, bytes, r);
  }
  pieces.wait();
}

void MpiCommunicator::broadcast_on_host(std::byte* inout, std::int64_t bytes, int root) const {
  for_each_piece(bytes, piece_bytes_, [&](std::int64_t begin, int length) {
    check_mpi(MPI_Bcast(inout + begin, length, MPI_BYTE, root, mpi()), "MPI_Bcast");
  });
}

}  // namespace m2
