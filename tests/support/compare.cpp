// SPDX-License-Identifier: Apache-2.0
#include "support/compare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>
#include <optional>
#include <type_traits>

#include "support/exec.hpp"

namespace m2::test {
namespace {

std::optional<ExecSpace> g_exec;

// A template, so that what the other spaces do not have is not looked at there.
template <class Space>
Space instance_with_threads([[maybe_unused]] int num_threads) {
#ifdef KOKKOS_ENABLE_OPENMP
  if constexpr (std::is_same_v<Space, Kokkos::OpenMP>) return Space(num_threads);
#endif
  return exec();
}

}  // namespace

const ExecSpace& exec() {
  if (!g_exec) {
#ifdef KOKKOS_ENABLE_CUDA
    g_exec = Kokkos::Experimental::partition_space(ExecSpace(), 1)[0];
#else
    g_exec = ExecSpace();
#endif
  }
  return *g_exec;
}

ExecSpace with_threads(int num_threads) { return instance_with_threads<ExecSpace>(num_threads); }

void release_exec() { g_exec.reset(); }

::testing::AssertionResult all_close(std::span<const float> actual, std::span<const float> expected, double tolerance) {
  if (actual.size() != expected.size()) {
    return ::testing::AssertionFailure() << actual.size() << " elements, expected " << expected.size();
  }
  std::vector<std::pair<double, std::size_t>> wrong;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double difference = std::abs(double(actual[i]) - double(expected[i]));
    if (!(difference <= tolerance)) wrong.emplace_back(std::isnan(difference) ? INFINITY : difference, i);
  }
  if (wrong.empty()) return ::testing::AssertionSuccess();
  std::ranges::sort(wrong, std::greater{});
  auto failure = ::testing::AssertionFailure();
  failure << wrong.size() << " of " << actual.size() << " elements are further off than " << tolerance
          << "; the worst:";
  for (std::size_t n = 0; n < std::min<std::size_t>(wrong.size(), 5); ++n) {
    const auto [difference, i] = wrong[n];
    failure << fmt::format("\n  [{}] {:.9g}, expected {:.9g}, off by {:.3g}", i, actual[i], expected[i], difference);
  }
  return failure;
}

::testing::AssertionResult same_bits(std::span<const float> actual, std::span<const float> expected) {
  if (actual.size() != expected.size()) {
    return ::testing::AssertionFailure() << actual.size() << " elements, expected " << expected.size();
  }
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (std::bit_cast<std::uint32_t>(actual[i]) != std::bit_cast<std::uint32_t>(expected[i])) {
      return ::testing::AssertionFailure()
             << fmt::format("[{}] {:.9g}, expected {:.9g}, the same bits", i, actual[i], expected[i]);
    }
  }
  return ::testing::AssertionSuccess();
}

double max_abs(std::span<const float> values) {
  double largest = 0;
  for (const float value : values) largest = std::max(largest, std::abs(double(value)));
  return largest;
}

std::vector<float> normal(std::int64_t count, std::uint64_t seed, float scale) {
  std::mt19937_64 generator(seed);  // the distributions of <random> differ between libraries: Box-Muller by hand
  const auto uniform = [&] { return (double(generator() >> 11) + 0.5) * 0x1p-53; };
  std::vector<float> out(count);
  for (float& value : out) {
    value = scale * float(std::sqrt(-2 * std::log(uniform())) * std::cos(2 * std::numbers::pi * uniform()));
  }
  return out;
}

}  // namespace m2::test
