// SPDX-License-Identifier: Apache-2.0
#include "kernels/moe/permute.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "support/compare.hpp"
#include "support/exec.hpp"

namespace m2::test {
namespace {

struct Plan {
  Plan(const std::vector<int>& expert, int num_tokens, int top_k, int num_experts)
      : expert_TK("test::expert", num_tokens, top_k),
        row_TK("test::row", num_tokens, top_k),
        offset_E1("test::offset", num_experts + 1),
        token_R("test::token", num_tokens * top_k) {
    const auto host = Kokkos::create_mirror_view(expert_TK);
    std::ranges::copy(expert, host.data());
    Kokkos::deep_copy(expert_TK, host);
    Kokkos::deep_copy(offset_E1, -1);
    const View1D<int> scratch("test::scratch", permute_scratch_size(num_tokens, top_k, num_experts));
    permute_plan(exec(), expert_TK, num_experts, scratch, offset_E1, row_TK, token_R);
  }
  View2D<int> expert_TK, row_TK;
  View1D<int> offset_E1, token_R;
};

void expect_stable_sort(const Plan& plan, const std::vector<int>& expert, int top_k, int num_experts) {
  std::vector<int> slot(expert.size());
  std::iota(slot.begin(), slot.end(), 0);
  std::ranges::stable_sort(slot, {}, [&](int s) { return expert[s]; });
  const std::vector<int> row = to_host_as_is(plan.row_TK), token = to_host_as_is(plan.token_R),
                         offset = to_host_as_is(plan.offset_E1);
  for (int r = 0; r < int(slot.size()); ++r) {
    ASSERT_EQ(row[slot[r]], r);
    ASSERT_EQ(token[r], slot[r] / top_k);
  }
  for (int e = 0; e <= num_experts; ++e)
    ASSERT_EQ(offset[e], std::ranges::count_if(expert, [&](int x) { return x < e; })) << e;
}

TEST(PermutePlan, IsAStableSortByExpert) {
  for (const int num_tokens : {0, 1, 3, 17, 64, 257, 1000}) {
    for (const auto& [top_k, num_experts] : {std::pair(1, 1), std::pair(3, 7), std::pair(8, 256)}) {
      std::vector<int> expert(num_tokens * top_k);
      std::mt19937_64 generator(num_tokens);
      for (int& e : expert) e = int(generator() % std::uint64_t(num_experts));
      expect_stable_sort(Plan(expert, num_tokens, top_k, num_experts), expert, top_k, num_experts);
    }
  }
}

TEST(PermutePlan, TakesAllTokensToOneExpert) {
  const std::vector<int> expert(700, 5);
  expect_stable_sort(Plan(expert, 700, 1, 9), expert, 1, 9);
}

TEST(PermuteWeights, FollowTheirRows) {
  const Plan plan({2, 0, 1, 0, 0, 2}, 3, 2, 4);
  const View1D<float> weight_R("test::weight", 6);
  permute_weights(exec(), to_device<float>(std::vector<float>{20, 1, 10, 2, 3, 21}, 3, 2), plan.row_TK, weight_R);
  EXPECT_THAT(to_host(weight_R), ::testing::ElementsAre(1, 2, 3, 10, 20, 21));
}

TEST(GatherWeights, UndoesPermuteWeights) {
  const Plan plan({2, 0, 1, 0, 0, 2}, 3, 2, 4);
  const std::vector<float> weight{20, 1, 10, 2, 3, 21};
  const View1D<float> weight_R("test::weight", 6);
  permute_weights(exec(), to_device<float>(weight, 3, 2), plan.row_TK, weight_R);
  const View2D<float> back_TK("test::back", 3, 2);
  gather_weights(exec(), weight_R, plan.row_TK, back_TK);
  EXPECT_THAT(to_host(back_TK), ::testing::ElementsAreArray(weight));
}

TEST(GatherWeights, GivesZeroWhereThereIsNoRow) {
  const View2D<int> row_TK("test::row", 2, 2);
  const auto host = Kokkos::create_mirror_view(row_TK);
  host(0, 0) = 1, host(0, 1) = -1, host(1, 0) = -1, host(1, 1) = 0;
  Kokkos::deep_copy(row_TK, host);
  const View2D<float> weight_TK("test::weight", 2, 2);
  Kokkos::deep_copy(weight_TK, NAN);
  gather_weights(exec(), to_device<float>(std::vector<float>{5, 7}), row_TK, weight_TK);
  EXPECT_THAT(to_host(weight_TK), ::testing::ElementsAre(7, 0, 0, 5));
}

TEST(Combine, AfterGatherIsTheIdentityForOneExpertPerToken) {
  const std::vector<int> expert{3, 1, 1, 0, 3, 2, 0};
  const Plan plan(expert, 7, 1, 5);
  const std::vector<float> x = normal(7 * 33, 1);
  const View2D<float> rows_RD("test::rows", 7, 33), out_TD("test::out", 7, 33);
  gather_rows<float>(exec(), to_device<float>(x, 7, 33), plan.token_R, rows_RD);
  combine<float>(exec(), rows_RD, plan.row_TK, View2D<float>(), out_TD);
  EXPECT_TRUE(same_bits(to_host(out_TD), x));
}

TEST(Combine, WithoutWeightsAddsTheRows) {
  const Plan plan({1, 0, 0, 1}, 2, 2, 2);  // rows: 0 = (0, 1), 1 = (1, 0), 2 = (0, 0), 3 = (1, 1)
  const View2D<float> out_TD("test::out", 2, 1);
  combine<float>(exec(), to_device<float>(std::vector<float>{1, 10, 100, 1000}, 4, 1), plan.row_TK, View2D<float>(),
                 out_TD);
  EXPECT_THAT(to_host(out_TD), ::testing::ElementsAre(101, 1010));
}

}  // namespace
}  // namespace m2::test
