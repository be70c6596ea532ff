// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/mpi/mpi_call.hpp"
#include "comm/mpi/mpi_pieces.hpp"

namespace m2 {

/// The form that moves arrays with MPI. It frees `comm`.
class MpiCommunicator : public Communicator, public HasMpi {
 public:
  /// Tests lower `piece_bytes`, so that small arrays are cut as large ones are.
  explicit MpiCommunicator(MPI_Comm comm, std::int64_t piece_bytes = kMpiPieceBytes);

  void barrier() override;
  std::vector<std::int64_t> all_gather_values(std::span<const std::int64_t> values) override;
  std::vector<std::int64_t> exchange(std::span<const std::int64_t> values) override;
  std::vector<std::int64_t> max_values(std::span<const std::int64_t> values) override;
  std::vector<std::string> all_gather_texts(const std::string& text) override;
  std::string broadcast_text(const std::string& text, int root) override;
  std::unique_ptr<Communicator> split(int color) override { return split_mpi(color); }
  std::unique_ptr<Communicator> split_by_host() override { return split_mpi_by_host(); }
  const char* kind() const override { return "MPI"; }

  std::unique_ptr<MpiCommunicator> split_mpi(int color) const;
  std::unique_ptr<MpiCommunicator> split_mpi_by_host() const;
  MPI_Comm mpi() const override { return comm_.get(); }

 private:
  void reduce(const ExecSpace& exec, DType dtype, const void* in, void* out, std::int64_t count, Reduction reduction,
              SumOrder order) override;
  void sum_blocks(const ExecSpace& exec, DType dtype, const void* in, void* out, std::int64_t count,
                  SumOrder order) override;
  void gather_bytes(const ExecSpace& exec, const std::byte* in, std::byte* out, std::int64_t bytes) override;
  void broadcast_bytes(const ExecSpace& exec, std::byte* inout, std::int64_t bytes, int root) override;
  std::unique_ptr<Transfer> start_exchange(const ExecSpace& exec, const std::byte* in,
                                           const std::vector<std::int64_t>& send_bytes, std::byte* out,
                                           const std::vector<std::int64_t>& recv_bytes) override;

  void gather_on_host(const std::byte* in, std::byte* out, std::int64_t bytes) const;
  void broadcast_on_host(std::byte* inout, std::int64_t bytes, int root) const;

  MpiComm comm_;
  std::int64_t piece_bytes_;
};

}  // namespace m2
