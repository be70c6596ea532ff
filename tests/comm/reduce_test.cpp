// SPDX-License-Identifier: Apache-2.0
// Sums, maxima and minima over ranks.
#include <algorithm>
#include <cmath>
#include <limits>

#include "comm/forms.hpp"
#include "comm/rank_tree.hpp"

namespace m2::test {
namespace {

using ::testing::ElementsAreArray;

// The tree that SumOrder::fixed promises: (0 1) (2 3) ..., then their neighbours; one without a neighbour moves up.
template <class F>
float by_tree(std::vector<float> values, const F& combine) {
  while (values.size() > 1) {
    std::vector<float> next;
    for (std::size_t i = 0; i < values.size(); i += 2) {
      next.push_back(i + 1 < values.size() ? combine(values[i], values[i + 1]) : values[i]);
    }
    values = next;
  }
  return values[0];
}

float largest(float a, float b) { return std::max(a, b); }
float smallest(float a, float b) { return std::min(a, b); }
float sum(float a, float b) { return a + b; }

// What each rank holds, with T's rounding.
template <class T>
std::vector<std::vector<float>> all_numbers(int size, std::int64_t count) {
  std::vector<std::vector<float>> all;
  for (int r = 0; r < size; ++r) {
    all.push_back(numbers_of(r, count));
    for (float& value : all.back()) value = std::is_integral_v<T> ? float(T(100 * value)) : float(T(value));
  }
  return all;
}

template <class T, class F>
std::vector<float> expected(const std::vector<std::vector<float>>& all, std::int64_t begin, std::int64_t count,
                            const F& combine) {
  std::vector<float> out;
  for (std::int64_t i = begin; i < begin + count; ++i) {
    std::vector<float> values;
    for (const auto& of_rank : all) values.push_back(of_rank[i]);
    out.push_back(float(T(by_tree(values, combine))));
  }
  return out;
}

class Reduce : public Forms {
 protected:
  template <class T>
  void check_all_reduce(Reduction reduction, SumOrder order, float (*combine)(float, float)) {
    for (const std::int64_t count : kSizes) {
      const auto all = all_numbers<T>(size(), count);
      const View1D<T> in = to_device<T>(all[rank()]), out = zeros<T>(count);
      comm().template all_reduce<T>(exec(), in, out, reduction, order);
      EXPECT_TRUE(same_bits(to_host(out), expected<T>(all, 0, count, combine))) << count;
      EXPECT_TRUE(same_bits(to_host(in), all[rank()])) << count;
      comm().template all_reduce<T>(exec(), in, in, reduction, order);
      EXPECT_TRUE(same_bits(to_host(in), to_host(out))) << count << ", in place";
    }
  }

  template <class T>
  void check_reduce_scatter(SumOrder order) {
    for (const std::int64_t count : kSizes) {
      const auto all = all_numbers<T>(size(), count * size());
      const View1D<T> in = to_device<T>(all[rank()]), out = zeros<T>(count);
      comm().template reduce_scatter<T>(exec(), in, out, order);
      EXPECT_TRUE(same_bits(to_host(out), expected<T>(all, rank() * count, count, sum))) << count;
    }
  }

  // Each of size - 1 additions rounds by `epsilon` (the type's half step) of a partial sum, which is at most the sum of
  // the sizes (1 % more for what was rounded before).
  template <class T>
  void check_fast(double epsilon) {
    for (const std::int64_t count : kSizes) {
      const auto all = all_numbers<T>(size(), count * size());
      const View1D<T> in = to_device<T>(all[rank()]), out = zeros<T>(count * size()), block = zeros<T>(count);
      comm().template all_reduce<T>(exec(), in, out, Reduction::sum, SumOrder::fast);
      comm().template reduce_scatter<T>(exec(), in, block, SumOrder::fast);
      const std::vector<float> of_block = to_host(block);
      std::vector<float> actual = to_host(out);
      EXPECT_EQ(num_far(all, actual, epsilon), 0) << count;
      std::copy(of_block.begin(), of_block.end(), actual.begin() + rank() * count);
      EXPECT_EQ(num_far(all, actual, epsilon), 0) << count << ", blocks";
    }
  }

  int num_far(const std::vector<std::vector<float>>& all, const std::vector<float>& actual, double epsilon) {
    int num = 0;
    for (std::size_t i = 0; i < actual.size(); ++i) {
      double exact = 0, sizes = 0;
      for (const auto& of_rank : all) exact += double(of_rank[i]), sizes += std::abs(double(of_rank[i]));
      if (!(std::abs(double(actual[i]) - exact) <= (size() - 1) * epsilon * 1.01 * sizes)) ++num;
    }
    return num;
  }
};

TEST_P(Reduce, SumsOfAFixedOrderAreTheTree) {
  check_all_reduce<float>(Reduction::sum, SumOrder::fixed, sum);
  check_all_reduce<Bf16>(Reduction::sum, SumOrder::fixed, sum);
  check_all_reduce<std::int32_t>(Reduction::sum, SumOrder::fixed, sum);
  check_all_reduce<std::int64_t>(Reduction::sum, SumOrder::fixed, sum);
}

TEST_P(Reduce, MaximaAndMinimaAreExact) {
  for (const SumOrder order : {SumOrder::fixed, SumOrder::fast}) {
    check_all_reduce<float>(Reduction::max, order, largest);
    check_all_reduce<float>(Reduction::min, order, smallest);
    check_all_reduce<Bf16>(Reduction::max, order, largest);
    check_all_reduce<Bf16>(Reduction::min, order, smallest);
    check_all_reduce<std::int32_t>(Reduction::max, order, largest);
    check_all_reduce<std::int64_t>(Reduction::min, order, smallest);
  }
}

TEST_P(Reduce, BlocksOfAFixedOrderAreTheTree) {
  check_reduce_scatter<float>(SumOrder::fixed);
  check_reduce_scatter<Bf16>(SumOrder::fixed);
  check_reduce_scatter<std::int32_t>(SumOrder::fixed);
  check_reduce_scatter<std::int64_t>(SumOrder::fixed);
}

TEST_P(Reduce, FastSumsAreNear) {
  check_fast<float>(0x1p-24);
  check_fast<Bf16>(0x1p-8);
}

TEST_P(Reduce, FastSumsOfIntegersAreExact) {
  check_all_reduce<std::int32_t>(Reduction::sum, SumOrder::fast, sum);
  check_all_reduce<std::int64_t>(Reduction::sum, SumOrder::fast, sum);
  check_reduce_scatter<std::int32_t>(SumOrder::fast);
  check_reduce_scatter<std::int64_t>(SumOrder::fast);
}

TEST_P(Reduce, LargeIntegersKeepEveryBit) {
  const std::int64_t value = (std::int64_t(1) << 40) + rank();
  const View1D<std::int64_t> in = integers_to_device<std::int64_t>(std::vector{value, -value});
  const View1D<std::int64_t> out = zeros<std::int64_t>(2);
  comm().all_reduce<std::int64_t>(exec(), in, out, Reduction::sum);
  const std::int64_t total = (std::int64_t(1) << 40) * size() + size() * (size() - 1) / 2;
  EXPECT_THAT(to_host_as_is(out), ElementsAreArray({total, -total}));
}

TEST_P(Reduce, ANaNOfAnyRankStays) {
  const float mine = rank() == size() - 1 ? std::numeric_limits<float>::quiet_NaN() : 1.0f;
  for (const Reduction reduction : {Reduction::sum, Reduction::max, Reduction::min}) {
    const View1D<float> in = to_device<float>(std::vector{mine}), out = zeros<float>(1);
    comm().all_reduce<float>(exec(), in, out, reduction);
    EXPECT_TRUE(std::isnan(to_host(out)[0]));
  }
}

TEST_P(Reduce, RefusesViewsThatDoNotFit) {
  const View1D<float> three = zeros<float>(3), four = zeros<float>(4);
  try {
    comm().all_reduce<float>(exec(), three, four, Reduction::sum);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "all_reduce: in has 3 elements, out 4; both need the same");
  }
  EXPECT_THROW(comm().reduce_scatter<float>(exec(), zeros<float>(3 * size() + 1), three), Error);
}

M2_TEST_ALL_FORMS(Reduce);

// What the NCCL form adds with, on whatever device the build has.
TEST(ReduceParts, IsTheTree) {
  constexpr int kCount = 1000;
  for (int num_ranks = 1; num_ranks <= 17; ++num_ranks) {
    const auto all = all_numbers<Bf16>(num_ranks, kCount);
    std::vector<float> joined;
    for (const auto& of_rank : all) joined.insert(joined.end(), of_rank.begin(), of_rank.end());
    const View1D<float> parts = to_device<float>(joined), out = zeros<float>(kCount);
    reduce_parts(exec(), DType::float32, parts.data(), num_ranks, kCount, Reduction::sum, out.data());
    EXPECT_TRUE(same_bits(to_host(out), expected<float>(all, 0, kCount, sum))) << num_ranks;
    reduce_parts(exec(), DType::float32, parts.data(), num_ranks, kCount, Reduction::min, out.data());
    EXPECT_TRUE(same_bits(to_host(out), expected<float>(all, 0, kCount, smallest))) << num_ranks;
    const View1D<Bf16> parts16 = to_device<Bf16>(joined), out16 = zeros<Bf16>(kCount);
    reduce_parts(exec(), DType::bfloat16, parts16.data(), num_ranks, kCount, Reduction::sum, out16.data());
    EXPECT_TRUE(same_bits(to_host(out16), expected<Bf16>(all, 0, kCount, sum))) << num_ranks;
  }
}

}  // namespace
}  // namespace m2::test
