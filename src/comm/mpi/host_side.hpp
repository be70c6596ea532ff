// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "comm/bytes.hpp"

namespace m2 {

/// Who works on the bytes: MPI, which reaches a device's memory where the library says so, or this process.
enum class HostUser { mpi, process };

bool reaches_memory(HostUser user);

/// `bytes` of an array in MemorySpace where `user` can read them: the array itself, or a copy on the host. Waits for
/// the instance.
class HostInput {
 public:
  HostInput() = default;
  HostInput(const ExecSpace& exec, HostUser user, const void* in, std::int64_t bytes);
  const std::byte* data() const { return data_; }

 private:
  HostView1D<std::byte> copy_;
  const std::byte* data_ = nullptr;
};

/// Where `user` can write `bytes` of an array in MemorySpace: the array itself, or a buffer on the host that finish()
/// copies. Waits for the instance, which may still use the array.
class HostOutput {
 public:
  HostOutput() = default;
  HostOutput(const ExecSpace& exec, HostUser user, void* out, std::int64_t bytes);
  std::byte* data() const { return data_; }
  /// The array is complete when this returns.
  void finish(const ExecSpace& exec) const;

 private:
  HostView1D<std::byte> copy_;
  std::byte* out_ = nullptr;
  std::byte* data_ = nullptr;
};

}  // namespace m2
