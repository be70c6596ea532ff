// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/views.hpp"

namespace m2 {

/// Bytes somewhere in Space that somebody else owns.
template <class Space, class Byte = std::byte>
using Bytes = Kokkos::View<Byte*, Kokkos::LayoutRight, Space, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;

/// Enqueues a copy between the spaces ToSpace and FromSpace, unless there is nothing to copy.
template <class ToSpace = MemorySpace, class FromSpace = MemorySpace>
void copy_bytes(const ExecSpace& exec, void* to, const void* from, std::int64_t bytes) {
  if (bytes == 0 || to == from) return;
  Kokkos::deep_copy(exec, Bytes<ToSpace>(static_cast<std::byte*>(to), bytes),
                    Bytes<FromSpace, const std::byte>(static_cast<const std::byte*>(from), bytes));
}

}  // namespace m2
