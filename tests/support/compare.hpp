// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "core/views.hpp"

namespace m2::test {

/// Passes when |actual - expected| <= tolerance everywhere and sizes agree; prints the worst elements otherwise. NaN
/// fails.
::testing::AssertionResult all_close(std::span<const float> actual, std::span<const float> expected, double tolerance);

/// Passes when the bits agree; prints the first differing element otherwise.
::testing::AssertionResult same_bits(std::span<const float> actual, std::span<const float> expected);

/// Largest absolute value; 0 for nothing.
double max_abs(std::span<const float> values);

/// `count` numbers of a normal distribution with deviation `scale`, the same on every machine for one seed.
std::vector<float> normal(std::int64_t count, std::uint64_t seed, float scale = 1.0f);

/// Copies to the device, with the storage type's rounding.
template <class T>
View1D<T> to_device(std::span<const float> values) {
  View1D<T> out("test::values", values.size());
  const auto host = Kokkos::create_mirror_view(out);
  for (std::size_t i = 0; i < values.size(); ++i) host(i) = T(values[i]);
  Kokkos::deep_copy(out, host);
  return out;
}

/// The same as rows x columns.
template <class T>
View2D<T> to_device(std::span<const float> values, std::int64_t rows, std::int64_t columns) {
  View2D<T> out("test::values", rows, columns);
  const auto host = Kokkos::create_mirror_view(out);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) host(i, j) = T(values[i * columns + j]);
  }
  Kokkos::deep_copy(out, host);
  return out;
}

template <class T>
View1D<T> integers_to_device(std::span<const T> values) {
  View1D<T> out("test::values", values.size());
  const auto host = Kokkos::create_mirror_view(out);
  for (std::size_t i = 0; i < values.size(); ++i) host(i) = values[i];
  Kokkos::deep_copy(out, host);
  return out;
}

/// All elements of any contiguous View, in storage order, as float.
template <class View>
std::vector<float> to_host(const View& view) {
  Kokkos::fence("test::to_host");
  const auto host = Kokkos::create_mirror_view_and_copy(HostSpace{}, view);
  std::vector<float> out(host.size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = float(host.data()[i]);
  return out;
}

/// The same, unconverted.
template <class View>
auto to_host_as_is(const View& view) {
  Kokkos::fence("test::to_host");
  const auto host = Kokkos::create_mirror_view_and_copy(HostSpace{}, view);
  return std::vector<typename View::non_const_value_type>(host.data(), host.data() + host.size());
}

}  // namespace m2::test
