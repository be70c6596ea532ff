// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "core/views.hpp"

namespace m2 {

/// A row-major array of host memory that somebody else owns.
template <class T>
using HostSpan1D = Kokkos::View<T*, Kokkos::LayoutRight, HostSpace, Kokkos::MemoryUnmanaged>;

/// Copies the elements of `from`, row by row, to `to`, which has as many. Asynchronous: `to` may be read after a fence.
template <class From>
void copy_to_host(const ExecSpace& exec, const From& from, std::span<typename From::non_const_value_type> to) {
  using Value = typename From::non_const_value_type;
  Kokkos::deep_copy(exec, HostSpan1D<Value>(to.data(), to.size()), View1D<const Value>(from.data(), from.size()));
}

/// The elements of `from`, row by row; waits for `exec`. `reason` names the wait: "m2::generator: log-probabilities".
template <class From>
auto to_host(const ExecSpace& exec, const From& from, const char* reason) {
  std::vector<typename From::non_const_value_type> values(from.size());
  copy_to_host(exec, from, std::span(values));
  exec.fence(reason);
  return values;
}

/// Copies `values` to the first elements of `buffer` and returns those. Asynchronous: `values` must stay until a fence.
template <class T>
View1D<T> copy_to_device(const ExecSpace& exec, std::span<const std::type_identity_t<T>> values,
                         const View1D<T>& buffer) {
  const View1D<T> out = slice(buffer, 0, std::int64_t(values.size()));
  Kokkos::deep_copy(exec, out, HostSpan1D<const T>(values.data(), values.size()));
  return out;
}

/// A new array called `label` that holds `values`; waits for `exec`.
template <class T>
View1D<T> to_device(const ExecSpace& exec, const std::vector<T>& values, const std::string& label) {
  const View1D<T> out(Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, label), values.size());
  copy_to_device(exec, std::span(values), out);
  exec.fence("m2::to_device: the host's values end here");
  return out;
}

}  // namespace m2
