// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "core/views.hpp"
#include "support/compare.hpp"

// The case table of the kernels: each struct in */*_operation*.hpp is one operation at one size, with its inputs, its
// plain-loop oracle, a derived tolerance, and its bytes and FLOP. The test and the benchmark use them.
//   Op(Size)                 makes inputs; a token's inputs depend on its number only
//   Op::kName, kWidths       for the test; kRealSize for the benchmark
//   run(exec)                launches the operation
//   actual()                 what it wrote, token by token
//   expected(), tolerance()  the oracle in double, and how far actual() may be from it
//   alone(t)                 what the operation writes for token t when it is the whole batch
//   bytes()                  of the arrays that one run must move, counted from the sizes; tables and indices aside
//   flop()                   of matrix products and attention alone: two for each term of a sum of products

namespace m2::test {

struct Size {
  int num_tokens;
  int width;  ///< hidden size, head size, vocabulary ...: the operation says which
};

/// Largest relative error of rounding to T.
template <class T>
inline constexpr double kUnit = 0x1p-24;
template <>
inline constexpr double kUnit<Bf16> = 0x1p-8;

template <class T>
inline constexpr const char* kTypeName = "float32";
template <>
inline constexpr const char* kTypeName<Bf16> = "bfloat16";

/// The numbers as T stores them.
template <class T>
std::vector<float> rounded(std::vector<float> values) {
  for (float& value : values) value = float(T(value));
  return values;
}

/// `rows` rows of `width` numbers; a row depends on its number and the seed only.
template <class T>
std::vector<float> random_rows(int first, int rows, int width, std::uint64_t seed, float scale = 1.0f) {
  std::vector<float> out;
  for (int r = first; r < first + rows; ++r) {
    const auto values = normal(width, seed * 1000003 + std::uint64_t(r), scale);
    out.insert(out.end(), values.begin(), values.end());
  }
  return rounded<T>(std::move(out));
}

/// What an operation computes: nothing is counted for those that only move memory.
template <class Op>
double flop_of(const Op& op) {
  if constexpr (requires { op.flop(); }) {
    return op.flop();
  } else {
    return 0;
  }
}

inline std::vector<int> random_integers(int first, int count, int bound, std::uint64_t seed) {
  std::vector<int> out;
  for (int i = first; i < first + count; ++i) {
    out.push_back(int(std::mt19937_64(seed * 1000003 + std::uint64_t(i))() % std::uint64_t(bound)));
  }
  return out;
}

/// A device copy of row t alone.
template <class T>
View2D<T> one_row(const std::vector<float>& values, int t, int width) {
  return to_device<T>(std::span(values).subspan(std::size_t(t) * std::size_t(width), std::size_t(width)), 1, width);
}

template <class T>
View2D<T> filled(std::int64_t rows, std::int64_t columns, float value) {
  View2D<T> out("test::out", std::size_t(rows), std::size_t(columns));
  Kokkos::deep_copy(out, T(value));
  return out;
}

}  // namespace m2::test
