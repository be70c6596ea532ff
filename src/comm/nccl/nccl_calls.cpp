// SPDX-License-Identifier: Apache-2.0
#include "comm/nccl/nccl_calls.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>

#include "core/error.hpp"

namespace m2 {
namespace {

constexpr std::chrono::milliseconds kWatchPause{200};
constexpr int kWatchPatience = 5;  // pauses: a thread that calls NCCL sees the failure itself, and throws

}  // namespace

void check_cuda(cudaError_t code, const char* call) {
  M2_REQUIRE(code == cudaSuccess, "{}: {}", call, cudaGetErrorString(code));
}

CudaEvent::CudaEvent() {
  check_cuda(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreateWithFlags");
}

CudaEvent::~CudaEvent() { cudaEventDestroy(event_); }

void CudaEvent::record(cudaStream_t stream) { check_cuda(cudaEventRecord(event_, stream), "cudaEventRecord"); }

void CudaEvent::make_wait(cudaStream_t stream) const {
  check_cuda(cudaStreamWaitEvent(stream, event_, 0), "cudaStreamWaitEvent");
}

CudaScratch::~CudaScratch() { cudaFree(data_); }

void* CudaScratch::acquire(std::size_t bytes, cudaStream_t stream) {
  if (bytes > bytes_) {
    check_cuda(cudaFree(data_), "cudaFree");  // waits for the device
    data_ = nullptr;
    bytes_ = 0;
    check_cuda(cudaMalloc(&data_, bytes), "cudaMalloc");
    bytes_ = bytes;
  }
  last_use_.make_wait(stream);
  return data_;
}

std::string make_nccl_id() {
  ncclUniqueId id;
  const ncclResult_t result = ncclGetUniqueId(&id);
  M2_REQUIRE(result == ncclSuccess, "ncclGetUniqueId: {}", ncclGetErrorString(result));
  return {id.internal, sizeof(id.internal)};
}

NcclComm::NcclComm(const std::string& id, int rank, int size) : rank_(rank), size_(size) {
  ncclUniqueId unique_id;
  M2_REQUIRE(id.size() == sizeof(unique_id.internal),
             "NCCL's id has {} bytes, expected {}: the ranks use different NCCL", id.size(),
             sizeof(unique_id.internal));
  std::memcpy(unique_id.internal, id.data(), id.size());
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  finish(ncclCommInitRankConfig(&comm_, size, unique_id, rank, &config), "ncclCommInitRankConfig");
  watcher_ = std::jthread([this](const std::stop_token& stop) { watch(stop); });
}

NcclComm::~NcclComm() {
  watcher_ = {};  // stops it, and waits
  if (comm_ == nullptr) return;
  // Ending properly is collective, and after an exception the other ranks do not come.
  if (std::uncaught_exceptions() > 0 || wait_until_enqueued(ncclCommFinalize(comm_)) != ncclSuccess) {
    ncclCommAbort(comm_);
  } else {
    ncclCommDestroy(comm_);
  }
}

void NcclComm::all_reduce(const void* in, void* out, std::size_t count, ncclDataType_t type, ncclRedOp_t op,
                          cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  finish(ncclAllReduce(in, out, count, type, op, comm_, stream), "ncclAllReduce");
}

void NcclComm::sum_blocks(const void* in, void* out, std::size_t count, ncclDataType_t type, cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  finish(ncclReduceScatter(in, out, count, type, ncclSum, comm_, stream), "ncclReduceScatter");
}

void NcclComm::all_gather(const void* in, void* out, std::size_t bytes, cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  finish(ncclAllGather(in, out, bytes, ncclUint8, comm_, stream), "ncclAllGather");
}

void NcclComm::broadcast(void* inout, std::size_t bytes, int root, cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  finish(ncclBroadcast(inout, inout, bytes, ncclUint8, root, comm_, stream), "ncclBroadcast");
}

void NcclComm::exchange(const std::vector<Message>& sent, const std::vector<Message>& received, cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  // Within a group, calls only say that they are wrong; the group's end says the rest.
  const auto check_call = [&](ncclResult_t result, const char* call) {
    if (result == ncclSuccess || result == ncclInProgress) return;
    ncclGroupEnd();
    finish(result, call);
  };
  check_call(ncclGroupStart(), "ncclGroupStart");
  for (const Message& message : sent) {
    if (message.bytes == 0) continue;
    check_call(ncclSend(message.data, std::size_t(message.bytes), ncclUint8, message.peer, comm_, stream), "ncclSend");
  }
  for (const Message& message : received) {
    if (message.bytes == 0) continue;
    check_call(ncclRecv(message.data, std::size_t(message.bytes), ncclUint8, message.peer, comm_, stream), "ncclRecv");
  }
  finish(ncclGroupEnd(), "ncclGroupEnd");
}

void NcclComm::check() {
  const std::lock_guard lock(mutex_);
  finish(ncclSuccess, "NCCL");
}

void NcclComm::watch(const std::stop_token& stop) {
  for (int num_failed = 0; !stop.stop_requested(); std::this_thread::sleep_for(kWatchPause)) {
    const std::lock_guard lock(mutex_);
    if (comm_ == nullptr) return;
    const ncclResult_t result = state();
    if (result == ncclSuccess || result == ncclInProgress) continue;
    if (++num_failed < kWatchPatience) continue;
    fmt::print(stderr, "rank {} of {}: while waiting for the GPU: {}\n", rank_, size_, words(result));
    std::fflush(stderr);
    ::_exit(1);
  }
}

// What the communicator says of all calls so far.
ncclResult_t NcclComm::state() const {
  ncclResult_t all = ncclInProgress;
  const ncclResult_t asked = ncclCommGetAsyncError(comm_, &all);
  return asked == ncclSuccess ? all : asked;
}

std::string NcclComm::words(ncclResult_t result) const {
  return fmt::format("{} ({})", ncclGetErrorString(result), ncclGetLastError(comm_));
}

ncclResult_t NcclComm::wait_until_enqueued(ncclResult_t result) {
  if (result != ncclSuccess && result != ncclInProgress) return result;
  while ((result = state()) == ncclInProgress) std::this_thread::yield();
  return result;
}

void NcclComm::finish(ncclResult_t result, const char* call) {
  M2_REQUIRE(comm_ != nullptr, "rank {} of {}: {}: NCCL failed before", rank_, size_, call);
  result = wait_until_enqueued(result);
  if (result == ncclSuccess) return;
  const std::string what = words(result);
  ncclCommAbort(comm_);
  comm_ = nullptr;
  raise("rank {} of {}: {}: {}", rank_, size_, call, what);
}

}  // namespace m2
