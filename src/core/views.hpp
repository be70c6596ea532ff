// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Kokkos_Core.hpp>
#include <cstdint>

#include "core/bf16.hpp"
#include "core/dtype.hpp"
#include "core/fp8.hpp"

namespace m2 {

/// Where kernels run; fixed by the build (Kokkos CUDA or OpenMP). The instance is passed to every operation.
using ExecSpace = Kokkos::DefaultExecutionSpace;
using MemorySpace = ExecSpace::memory_space;
using HostSpace = Kokkos::HostSpace;
using HostExecSpace = Kokkos::DefaultHostExecutionSpace;

/// Row-major arrays. Names of variables carry their shape in storage order, in one alphabet: B sequences, T tokens,
/// S cache positions, D hidden, H query heads, G key/value heads, C head size, E experts, L local experts, K experts
/// per token, R routed rows, F expert hidden, V vocabulary.
template <class T>
using View1D = Kokkos::View<T*, Kokkos::LayoutRight, MemorySpace>;
template <class T>
using View2D = Kokkos::View<T**, Kokkos::LayoutRight, MemorySpace>;
template <class T>
using View3D = Kokkos::View<T***, Kokkos::LayoutRight, MemorySpace>;
template <class T>
using View4D = Kokkos::View<T****, Kokkos::LayoutRight, MemorySpace>;
template <class T>
using HostView1D = Kokkos::View<T*, Kokkos::LayoutRight, HostSpace>;
template <class T>
using HostView2D = Kokkos::View<T**, Kokkos::LayoutRight, HostSpace>;

/// Elements [begin, end) of a vector, rows [begin, end) of a matrix: the same memory.
template <class T>
View1D<T> slice(const View1D<T>& view, std::int64_t begin, std::int64_t end) {
  return View1D<T>(view.data() + begin, end - begin);
}
template <class T>
View2D<T> slice(const View2D<T>& view, std::int64_t begin, std::int64_t end) {
  return View2D<T>(view.data() + begin * std::int64_t(view.extent(1)), end - begin, view.extent(1));
}

/// All elements in a row: the same memory.
template <class T>
View1D<T> as_vector(const View3D<T>& view) {
  return View1D<T>(view.data(), view.size());
}

/// The DType of a storage type.
template <class T>
inline constexpr DType kDTypeOf = DType::float32;
template <>
inline constexpr DType kDTypeOf<Bf16> = DType::bfloat16;
template <>
inline constexpr DType kDTypeOf<Fp8E4M3> = DType::float8_e4m3fn;
template <>
inline constexpr DType kDTypeOf<std::int32_t> = DType::int32;
template <>
inline constexpr DType kDTypeOf<std::int64_t> = DType::int64;

}  // namespace m2
