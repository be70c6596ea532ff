// SPDX-License-Identifier: Apache-2.0
#include "comm/ordered_sum.hpp"

#include "comm/forms.hpp"

namespace m2::test {
namespace {

// The sum by a tree over the leaves' numbers: neighbours first, one without a neighbour moves up.
std::vector<float> by_tree(const std::vector<float>& leaves, std::int64_t count, std::int64_t width) {
  if (count == 0) return std::vector<float>(width, 0.0f);
  std::vector<float> rows = leaves;
  for (std::int64_t left = count; left > 1; left = (left + 1) / 2) {
    for (std::int64_t i = 0; i < left; i += 2) {
      for (std::int64_t w = 0; w < width; ++w) {
        const float a = rows[i * width + w];
        rows[i / 2 * width + w] = i + 1 < left ? a + rows[(i + 1) * width + w] : a;
      }
    }
  }
  rows.resize(width);
  return rows;
}

class OrderedSum : public Forms {
 protected:
  // The leaves [begin, end) of `count` that this rank holds in one of several ways to share them out.
  std::pair<std::int64_t, std::int64_t> share(std::int64_t count, int way) {
    const auto border = [&](int r) -> std::int64_t {
      if (r == 0 || r == size()) return r == 0 ? 0 : count;
      if (way == 0) return count * r / size();           // evenly
      if (way == 1) return r == size() - 1 ? count : 0;  // all on one rank
      return std::min<std::int64_t>(count, 3 * r + 1);   // a few each, the rest on the last
    };
    return {border(rank()), border(rank() + 1)};
  }
};

TEST_P(OrderedSum, IsTheTreeHoweverTheLeavesAreSharedOut) {
  for (const std::int64_t width : {1, 37}) {
    for (const std::int64_t count : {0, 1, 2, 3, 5, 6, 7, 8, 13, 64, 100, 1023, 5000}) {
      const std::vector<float> leaves = normal(count * width, 5, 10.0f);
      const std::vector<float> expected = by_tree(leaves, count, width);
      for (const int way : {0, 1, 2}) {
        const auto [begin, end] = share(count, way);
        const View2D<float> own =
            to_device<float>(std::span(leaves).subspan(begin * width, (end - begin) * width), end - begin, width);
        const View1D<float> out = zeros<float>(width);
        ordered_sum(exec(), comm(), own, out);
        EXPECT_TRUE(same_bits(to_host(out), expected)) << count << " leaves of " << width << ", way " << way;
      }
    }
  }
}

TEST_P(OrderedSum, RefusesAnotherWidth) {
  EXPECT_THROW(ordered_sum(exec(), comm(), zeros<float>(2, 3), zeros<float>(4)), Error);
}

M2_TEST_ALL_FORMS(OrderedSum);

}  // namespace
}  // namespace m2::test
