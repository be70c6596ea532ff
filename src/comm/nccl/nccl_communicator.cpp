// SPDX-License-Identifier: Apache-2.0
#include "comm/nccl/nccl_communicator.hpp"

#include <algorithm>
#include <set>

#include "comm/bytes.hpp"
#include "comm/rank_tree.hpp"

namespace m2 {
namespace {

constexpr std::int64_t kNcclScratchBytes = std::int64_t(32) << 20;

class NcclTransfer : public Transfer {
 public:
  NcclTransfer(const ExecSpace& exec, NcclComm& nccl) : exec_(exec), nccl_(nccl) {
    received_.record(exec.cuda_stream());
  }

  void wait(const ExecSpace& exec) override {
    nccl_.check();
    if (exec != exec_) received_.make_wait(exec.cuda_stream());
  }

 private:
  ExecSpace exec_;
  NcclComm& nccl_;
  CudaEvent received_;
};

std::string device_id() {
  int device = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  char id[32] = {};
  check_cuda(cudaDeviceGetPCIBusId(id, sizeof(id), device), "cudaDeviceGetPCIBusId");
  return id;
}

ncclDataType_t nccl_type(DType dtype) {
  if (dtype == DType::bfloat16) return ncclBfloat16;
  if (dtype == DType::int32) return ncclInt32;
  return dtype == DType::int64 ? ncclInt64 : ncclFloat32;
}

ncclRedOp_t nccl_op(Reduction reduction) {
  if (reduction == Reduction::max) return ncclMax;
  return reduction == Reduction::min ? ncclMin : ncclSum;
}

bool is_float(DType dtype) { return dtype == DType::float32 || dtype == DType::bfloat16; }

// NCCL sends what it is given as it is; its interface has one type for both directions.
std::byte* sent(const std::byte* data) { return const_cast<std::byte*>(data); }

}  // namespace

bool ranks_have_own_devices(MpiCommunicator& ranks) {
  const auto here = ranks.split_mpi_by_host();
  const std::vector<std::string> ids = here->all_gather_texts(device_id());
  const std::int64_t shared = std::set<std::string>(ids.begin(), ids.end()).size() < ids.size() ? 1 : 0;
  return ranks.max_values(std::span(&shared, 1))[0] == 0;
}

NcclCommunicator::NcclCommunicator(std::unique_ptr<MpiCommunicator> host)
    : Communicator(host->rank(), host->size()),
      host_(std::move(host)),
      nccl_(host_->broadcast_text(host_->rank() == 0 ? make_nccl_id() : "", 0), host_->rank(), host_->size()) {}

std::unique_ptr<Communicator> NcclCommunicator::split(int color) {
  return std::make_unique<NcclCommunicator>(host_->split_mpi(color));
}

std::unique_ptr<Communicator> NcclCommunicator::split_by_host() {
  return std::make_unique<NcclCommunicator>(host_->split_mpi_by_host());
}

// out = the reduction of what gather(offset, length, parts) lays into parts, rank after rank, piece by piece.
template <class Gather>
void NcclCommunicator::reduce_pieces(const ExecSpace& exec, DType dtype, void* out, std::int64_t count,
                                     Reduction reduction, const Gather& gather) {
  const std::int64_t element_bytes = std::int64_t(size_bytes(dtype));
  const std::int64_t piece = std::max<std::int64_t>(1, kNcclScratchBytes / (element_bytes * size()));
  auto* parts = static_cast<std::byte*>(
      scratch_.acquire(std::size_t(std::min(piece, count) * element_bytes * size()), exec.cuda_stream()));
  for_each_piece(count, piece, [&](std::int64_t begin, int length) {
    gather(begin * element_bytes, length * element_bytes, parts);
    reduce_parts(exec, dtype, parts, size(), length, reduction, static_cast<std::byte*>(out) + begin * element_bytes);
  });
  scratch_.release(exec.cuda_stream());
}

void NcclCommunicator::reduce(const ExecSpace& exec, DType dtype, const void* in, void* out, std::int64_t count,
                              Reduction reduction, SumOrder order) {
  if (count == 0) return;
  const bool fixed = is_float(dtype) && (order == SumOrder::fixed || reduction != Reduction::sum);
  if (!fixed) {
    nccl_.all_reduce(in, out, std::size_t(count), nccl_type(dtype), nccl_op(reduction), exec.cuda_stream());
    return;
  }
  const auto gather = [&](std::int64_t begin_bytes, std::int64_t bytes, std::byte* parts) {
    nccl_.all_gather(static_cast<const std::byte*>(in) + begin_bytes, parts, std::size_t(bytes), exec.cuda_stream());
  };
  reduce_pieces(exec, dtype, out, count, reduction, gather);
}

void NcclCommunicator::sum_blocks(const ExecSpace& exec, DType dtype, const void* in, void* out, std::int64_t count,
                                  SumOrder order) {
  if (count == 0) return;
  if (!is_float(dtype) || order == SumOrder::fast) {
    nccl_.sum_blocks(in, out, std::size_t(count), nccl_type(dtype), exec.cuda_stream());
    return;
  }
  const std::int64_t block_bytes = count * std::int64_t(size_bytes(dtype));
  const auto gather = [&](std::int64_t begin_bytes, std::int64_t bytes, std::byte* parts) {
    const auto piece_of = [&](int r) { return static_cast<const std::byte*>(in) + r * block_bytes + begin_bytes; };
    std::vector<NcclComm::Message> outgoing, incoming;
    for (int i = 1; i < size(); ++i) {
      const int r = (rank() + i) % size();
      outgoing.push_back({sent(piece_of(r)), bytes, r});
      incoming.push_back({parts + r * bytes, bytes, r});
    }
    copy_bytes(exec, parts + rank() * bytes, piece_of(rank()), bytes);
    nccl_.exchange(outgoing, incoming, exec.cuda_stream());
  };
  reduce_pieces(exec, dtype, out, count, Reduction::sum, gather);
}

void NcclCommunicator::gather_bytes(const ExecSpace& exec, const std::byte* in, std::byte* out, std::int64_t bytes) {
  if (bytes > 0) nccl_.all_gather(in, out, std::size_t(bytes), exec.cuda_stream());
}

void NcclCommunicator::broadcast_bytes(const ExecSpace& exec, std::byte* inout, std::int64_t bytes, int root) {
  if (bytes > 0) nccl_.broadcast(inout, std::size_t(bytes), root, exec.cuda_stream());
}

std::unique_ptr<Transfer> NcclCommunicator::start_exchange(const ExecSpace& exec, const std::byte* in,
                                                           const std::vector<std::int64_t>& send_bytes, std::byte* out,
                                                           const std::vector<std::int64_t>& recv_bytes) {
  std::vector<NcclComm::Message> outgoing, incoming;
  for (int r = 0; r < size(); ++r) {
    if (r == rank()) {
      copy_bytes(exec, out, in, send_bytes[r]);
    } else {
      outgoing.push_back({sent(in), send_bytes[r], r});
      incoming.push_back({out, recv_bytes[r], r});
    }
    in += send_bytes[r];
    out += recv_bytes[r];
  }
  nccl_.exchange(outgoing, incoming, exec.cuda_stream());
  return std::make_unique<NcclTransfer>(exec, nccl_);
}

}  // namespace m2
