// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/simd.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "support/compare.hpp"

namespace m2::test {
namespace {

// The order that simd.hpp promises, one element at a time: whatever registers do it, the bits are these.
float dot_by_the_book(const std::vector<float>& a, const std::vector<float>& b) {
  float lane[kLanes] = {};
  for (std::size_t k = 0; k < a.size(); ++k) lane[k % kLanes] = fused_multiply_add(a[k], b[k], lane[k % kLanes]);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) lane[l] += lane[l + width];
  }
  return lane[0];
}

TEST(Lanes, DotHasThePromisedOrder) {
  for (const int count : {0, 1, 15, 16, 17, 64, 257, 3072}) {
    const auto a = normal(count, 1), b = normal(count, 2);
    EXPECT_EQ(dot(a.data(), b.data(), count), dot_by_the_book(a, b)) << count;
  }
}

template <class T>
void expect_exact_loads(int num_values) {
  for (int first = 0; first < num_values; first += kLanes) {
    T values[kLanes];
    for (int l = 0; l < kLanes; ++l) values[l].bits = decltype(T::bits)(first + l);
    const Lanes all = load_lanes(values), some = load_lanes(values, 5);
    for (int l = 0; l < kLanes; ++l) {
      const float expected = float(values[l]);
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(all.value[l])) << first + l;
      } else {
        EXPECT_EQ(all.value[l], expected) << first + l;
        EXPECT_EQ(std::signbit(all.value[l]), std::signbit(expected)) << first + l;
      }
      if (l >= 5) {
        EXPECT_EQ(some.value[l], 0.0f);
      }
    }
  }
}

TEST(Lanes, EveryBf16IsLoadedExactly) { expect_exact_loads<Bf16>(1 << 16); }
TEST(Lanes, EveryFp8IsLoadedExactly) { expect_exact_loads<Fp8E4M3>(1 << 8); }

}  // namespace
}  // namespace m2::test
