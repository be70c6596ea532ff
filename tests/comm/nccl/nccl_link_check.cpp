// SPDX-License-Identifier: Apache-2.0
// Links every call of NCCL that the library makes. Where a GPU is, it also runs them on one rank.
#include <cstdio>
#include <exception>

#include "comm/nccl/nccl_calls.hpp"

namespace {

void run() {
  m2::NcclComm nccl(m2::make_nccl_id(), 0, 1);
  m2::CudaScratch scratch;
  m2::CudaEvent event;
  cudaStream_t stream = nullptr;
  auto* data = static_cast<std::byte*>(scratch.acquire(1024, stream));
  nccl.all_reduce(data, data, 16, ncclFloat32, ncclSum, stream);
  nccl.sum_blocks(data, data, 16, ncclBfloat16, stream);
  nccl.all_gather(data, data, 64, stream);
  nccl.broadcast(data, 64, 0, stream);
  nccl.exchange({{data, 64, 0}}, {{data + 64, 64, 0}}, stream);
  nccl.check();
  scratch.release(stream);
  event.record(stream);
  event.make_wait(stream);
  m2::check_cuda(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}

}  // namespace

int main() {
  int num_devices = 0;
  if (cudaGetDeviceCount(&num_devices) != cudaSuccess || num_devices == 0) {
    std::puts("linked; no GPU to run on");
    return 0;
  }
  try {
    run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  std::puts("linked and run");
  return 0;
}
