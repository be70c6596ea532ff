// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/mpi/mpi_communicator.hpp"
#include "comm/nccl/nccl_calls.hpp"

namespace m2 {

/// Whether no two ranks use the same device, which NCCL refuses. Collective.
bool ranks_have_own_devices(MpiCommunicator& ranks);

/// The form that moves arrays with NCCL, on the stream of the execution instance; values on the host go through the
/// MPI form it was made from. Sums of a fixed order gather pieces of every rank's array and add them here.
class NcclCommunicator : public Communicator, public HasMpi {
 public:
  /// Collective.
  explicit NcclCommunicator(std::unique_ptr<MpiCommunicator> host);

  void barrier() override { host_->barrier(); }
  std::vector<std::int64_t> all_gather_values(std::span<const std::int64_t> values) override {
    return host_->all_gather_values(values);
  }
  std::vector<std::int64_t> exchange(std::span<const std::int64_t> values) override { return host_->exchange(values); }
  std::vector<std::int64_t> max_values(std::span<const std::int64_t> values) override {
    return host_->max_values(values);
  }
  std::vector<std::string> all_gather_texts(const std::string& text) override { return host_->all_gather_texts(text); }
  std::string broadcast_text(const std::string& text, int root) override { return host_->broadcast_text(text, root); }
  std::unique_ptr<Communicator> split(int color) override;
  std::unique_ptr<Communicator> split_by_host() override;
  const char* kind() const override { return "NCCL"; }

  MPI_Comm mpi() const override { return host_->mpi(); }

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

  template <class Gather>
  void reduce_pieces(const ExecSpace& exec, DType dtype, void* out, std::int64_t count, Reduction reduction,
                     const Gather& gather);

  std::unique_ptr<MpiCommunicator> host_;
  NcclComm nccl_;
  CudaScratch scratch_;
};

}  // namespace m2
