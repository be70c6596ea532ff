// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace m2 {

/// Throws Error with CUDA's words unless `code` is cudaSuccess. `call` is the function's name.
void check_cuda(cudaError_t code, const char* call);

/// A point of one stream that others wait for.
class CudaEvent {
 public:
  CudaEvent();
  ~CudaEvent();
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;

  void record(cudaStream_t stream);
  void make_wait(cudaStream_t stream) const;

 private:
  cudaEvent_t event_ = nullptr;
};

/// Device memory of one size for the steps of collectives, which may come on several streams.
class CudaScratch {
 public:
  ~CudaScratch();
  /// On `stream`, whoever used it before has ended.
  void* acquire(std::size_t bytes, cudaStream_t stream);
  void release(cudaStream_t stream) { last_use_.record(stream); }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  CudaEvent last_use_;
};

/// What ncclGetUniqueId gives, as bytes to be sent to the other ranks.
std::string make_nccl_id();

/// A communicator of NCCL and its calls; this part knows no Kokkos. It does not block: a call under way is polled, and
/// after a failure, also one of an earlier call, the communicator is aborted and Error thrown. A thread asks for
/// failures while the host waits for a stream, whose kernels then never end: it prints one line and ends the process
/// with code 1, so that nothing is made of what they left.
class NcclComm {
 public:
  /// Collective, with the id that one rank made. Uses the thread's current device.
  NcclComm(const std::string& id, int rank, int size);
  ~NcclComm();
  NcclComm(const NcclComm&) = delete;
  NcclComm& operator=(const NcclComm&) = delete;

  void all_reduce(const void* in, void* out, std::size_t count, ncclDataType_t type, ncclRedOp_t op,
                  cudaStream_t stream);
  /// `count` elements for each rank.
  void sum_blocks(const void* in, void* out, std::size_t count, ncclDataType_t type, cudaStream_t stream);
  void all_gather(const void* in, void* out, std::size_t bytes, cudaStream_t stream);
  void broadcast(void* inout, std::size_t bytes, int root, cudaStream_t stream);

  struct Message {
    std::byte* data;  // only read where it is sent
    std::int64_t bytes;
    int peer;
  };
  /// All at once. Empty messages are not sent; none goes to this rank.
  void exchange(const std::vector<Message>& sent, const std::vector<Message>& received, cudaStream_t stream);

  /// Throws when something enqueued earlier has failed since.
  void check();

 private:
  ncclResult_t state() const;
  void finish(ncclResult_t result, const char* call);
  ncclResult_t wait_until_enqueued(ncclResult_t result);
  void watch(const std::stop_token& stop);
  std::string words(ncclResult_t result) const;

  ncclComm_t comm_ = nullptr;
  int rank_, size_;
  std::mutex mutex_;      // of comm_: held during each call
  std::jthread watcher_;  // the last member: it uses the others
};

}  // namespace m2
