// SPDX-License-Identifier: Apache-2.0
#include "comm/mpi/host_side.hpp"

#include <mpi.h>

#include <type_traits>

#if defined(KOKKOS_ENABLE_CUDA) && defined(OPEN_MPI)
#include <mpi-ext.h>
#endif

namespace m2 {
namespace {

HostView1D<std::byte> host_buffer(std::int64_t bytes) {
  return HostView1D<std::byte>(Kokkos::view_alloc(Kokkos::WithoutInitializing, "m2::comm::host"), bytes);
}

}  // namespace

bool reaches_memory([[maybe_unused]] HostUser user) {
  if constexpr (std::is_same_v<MemorySpace, HostSpace>) return true;
#if defined(KOKKOS_ENABLE_CUDA) && defined(MPIX_CUDA_AWARE_SUPPORT)
  return user == HostUser::mpi && MPIX_Query_cuda_support() != 0;
#else
  return false;
#endif
}

HostInput::HostInput(const ExecSpace& exec, HostUser user, const void* in, std::int64_t bytes)
    : data_(static_cast<const std::byte*>(in)) {
  if (!reaches_memory(user)) {
    copy_ = host_buffer(bytes);
    copy_bytes<HostSpace, MemorySpace>(exec, copy_.data(), in, bytes);
    data_ = copy_.data();
  }
  exec.fence("m2::comm: input for MPI");
}

HostOutput::HostOutput(const ExecSpace& exec, HostUser user, void* out, std::int64_t bytes)
    : out_(static_cast<std::byte*>(out)), data_(out_) {
  if (reaches_memory(user)) {
    exec.fence("m2::comm: output of MPI");
  } else {
    copy_ = host_buffer(bytes);
    data_ = copy_.data();
  }
}

void HostOutput::finish(const ExecSpace& exec) const {
  if (data_ == out_) return;
  copy_bytes<MemorySpace, HostSpace>(exec, out_, data_, std::int64_t(copy_.extent(0)));
  exec.fence("m2::comm: output from the host");
}

}  // namespace m2
