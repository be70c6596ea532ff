// SPDX-License-Identifier: Apache-2.0
#include "kernels/moe/exchange_plan.hpp"

#include <gmock/gmock.h>

#include <bit>
#include <numeric>
#include <random>

#include "core/error.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"

namespace m2::test {
namespace {

template <class Call>
std::string error_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

View1D<int> ints(const std::vector<int>& values) {
  const View1D<int> out("test::ints", values.size());
  const auto host = Kokkos::create_mirror_view(out);
  std::ranges::copy(values, host.data());
  Kokkos::deep_copy(out, host);
  return out;
}

View2D<int> ints(const std::vector<int>& values, int rows, int columns) {
  const View2D<int> out("test::ints", rows, columns);
  const auto host = Kokkos::create_mirror_view(out);
  std::ranges::copy(values, host.data());
  Kokkos::deep_copy(out, host);
  return out;
}

/// Replicas of each expert as (rank, number on that rank).
using Replicas = std::vector<std::vector<std::pair<int, int>>>;

Replicas random_replicas(int num_experts, int num_ranks, std::mt19937_64& random) {
  Replicas replicas(num_experts);
  std::vector<int> num_local(num_ranks, 0);
  for (auto& of_expert : replicas) {
    for (int rank = 0; rank < num_ranks; ++rank) {
      const bool is_last_chance = rank == num_ranks - 1 && of_expert.empty();
      if (is_last_chance || random() % 3 == 0) of_expert.emplace_back(rank, num_local[rank]++);
    }
  }
  return replicas;
}

struct Case {
  int num_tokens, top_k, num_experts, num_ranks, first_token;
  std::vector<int> expert;
  std::vector<float> weight;
  Replicas replicas;

  Case(int tokens, int k, int experts, int ranks)
      : num_tokens(tokens), top_k(k), num_experts(experts), num_ranks(ranks), first_token(5) {
    std::mt19937_64 random(tokens + 100 * ranks);
    replicas = random_replicas(experts, ranks, random);
    weight = normal(std::int64_t(tokens) * k, 7);
    for (int t = 0; t < tokens; ++t) {
      std::vector<int> all(experts);
      std::iota(all.begin(), all.end(), 0);
      std::shuffle(all.begin(), all.end(), random);
      expert.insert(expert.end(), all.begin(), all.begin() + k);
    }
  }

  ExpertMap map() const {
    std::vector<int> first{0}, rank, local;
    for (const auto& of_expert : replicas) {
      for (const auto& [r, number] : of_expert) {
        rank.push_back(r);
        local.push_back(number);
      }
      first.push_back(int(rank.size()));
    }
    return {ints(first), ints(rank), ints(local)};
  }

  std::pair<int, int> replica(int t, int k) const {
    const auto& of_expert = replicas[expert[t * top_k + k]];
    return of_expert[(first_token + t) % of_expert.size()];
  }
};

struct Planned {
  ExchangePlan plan;

  explicit Planned(const Case& c)
      : plan{.row_displacement_N1 = View1D<int>("test::row_displacement", c.num_ranks + 1),
             .slot_displacement_N1 = View1D<int>("test::slot_displacement", c.num_ranks + 1),
             .token_S = View1D<int>("test::token", c.num_tokens * std::min(c.top_k, c.num_ranks)),
             .slot_P3 = View2D<int>("test::slot", c.num_tokens * c.top_k, 3),
             .place_TK = View2D<int>("test::place_TK", c.num_tokens, c.top_k),
             .row_TK = View2D<int>("test::row_TK", c.num_tokens, c.top_k),
             .first_place = 1000,
             .first_row = 2000} {
    const View1D<int> scratch("test::scratch", exchange_scratch_size(c.num_tokens, c.num_ranks));
    plan_exchange(exec(), ints(c.expert, c.num_tokens, c.top_k), to_device<float>(c.weight, c.num_tokens, c.top_k),
                  c.first_token, c.map(), scratch, plan);
  }
};

// The plan by its definition: for each rank the tokens it is to see, each once, and its slots in their order.
void expect_plan(const Case& c) {
  const Planned planned(c);
  const ExchangePlan& plan = planned.plan;
  const std::vector<int> row_displacement = to_host_as_is(plan.row_displacement_N1),
                         slot_displacement = to_host_as_is(plan.slot_displacement_N1),
                         token = to_host_as_is(plan.token_S), slot = to_host_as_is(plan.slot_P3),
                         place_TK = to_host_as_is(plan.place_TK), row_TK = to_host_as_is(plan.row_TK);
  int row = 0, p = 0;
  for (int rank = 0; rank < c.num_ranks; ++rank) {
    ASSERT_EQ(row_displacement[rank], row);
    ASSERT_EQ(slot_displacement[rank], p);
    for (int t = 0; t < c.num_tokens; ++t) {
      bool is_new = true;
      for (int k = 0; k < c.top_k; ++k) {
        const auto [to, local_expert] = c.replica(t, k);
        if (to != rank) continue;
        if (is_new) {
          ASSERT_EQ(token[row++], t);
        }
        ASSERT_EQ(slot[3 * p], row - 1 - row_displacement[rank]);
        ASSERT_EQ(slot[3 * p + 1], local_expert);
        ASSERT_EQ(std::bit_cast<float>(slot[3 * p + 2]), c.weight[t * c.top_k + k]);
        ASSERT_EQ(place_TK[t * c.top_k + k], 1000 + p);
        ASSERT_EQ(row_TK[t * c.top_k + k], is_new ? 2000 + row - 1 : -1);
        is_new = false;
        ++p;
      }
    }
  }
  EXPECT_EQ(row_displacement.back(), row);
  EXPECT_EQ(slot_displacement.back(), c.num_tokens * c.top_k);
}

TEST(PlanExchange, SendsATokenOnceToEachRankThatWantsIt) {
  for (const int num_tokens : {0, 1, 3, 17, 64, 257}) {
    for (const int num_ranks : {1, 2, 3, 7, 64}) {
      SCOPED_TRACE(testing::Message() << num_tokens << " tokens, " << num_ranks << " ranks");
      expect_plan(Case(num_tokens, 1, 1 + num_ranks, num_ranks));
      expect_plan(Case(num_tokens, 8, 8 + num_ranks, num_ranks));
    }
  }
}

TEST(PlanExchange, RefusesBuffersThatAreTooSmall) {
  const Case c(4, 2, 4, 2);
  Planned planned(c);
  const auto plan_with = [&](std::int64_t scratch) {
    plan_exchange(exec(), ints(c.expert, 4, 2), to_device<float>(c.weight, 4, 2), 0, c.map(),
                  View1D<int>("test::scratch", scratch), planned.plan);
  };
  EXPECT_EQ(error_of([&] { plan_with(3); }), "plan_exchange: scratch has 3 elements, 4 are needed");
  planned.plan.token_S = View1D<int>("test::token", 7);
  EXPECT_EQ(error_of([&] { plan_with(4); }),
            "plan_exchange: room for 7 rows and 8 x 3 slots, 4 tokens of 2 experts over 2 ranks need more");
}

TEST(UnpackSlots, FindsTheRowOfEachSource) {
  // Source 0 sent rows 0 and 1, source 1 nothing, source 2 row 0 in two slots.
  const std::vector<int> slot{0, 4, std::bit_cast<int>(0.5f), 1, 3, std::bit_cast<int>(0.25f),
                              0, 2, std::bit_cast<int>(2.0f), 0, 1, std::bit_cast<int>(1.0f)};
  const View2D<int> expert("test::expert", 4, 1);
  const View1D<int> row("test::row", 4);
  const View1D<float> weight("test::weight", 4);
  unpack_slots(exec(), ints(slot, 4, 3), ints({0, 2, 2}), ints({0, 2, 2, 4}), expert, row, weight);
  EXPECT_EQ(to_host_as_is(expert), (std::vector<int>{4, 3, 2, 1}));
  EXPECT_EQ(to_host_as_is(row), (std::vector<int>{0, 1, 2, 2}));
  EXPECT_EQ(to_host_as_is(weight), (std::vector<float>{0.5f, 0.25f, 2.0f, 1.0f}));
}

TEST(CombineSlots, SumsTheSlotsOfARowInTheirOrder) {
  constexpr int kWidth = 67;
  const std::vector<float> y = normal(4 * kWidth, 3);
  const std::vector<int> position{2, 0, 3, 1}, row{0, 0, 1, 1};
  const std::vector<float> weight{0.5f, -2.0f, 3.0f, 0.125f};
  const View2D<float> out("test::out", 2, kWidth);
  const View1D<float> weight_P("test::weight", 4);
  const auto host = Kokkos::create_mirror_view(weight_P);
  std::ranges::copy(weight, host.data());
  Kokkos::deep_copy(weight_P, host);
  for (const bool weighted : {true, false}) {
    combine_slots<float>(exec(), to_device<float>(y, 4, kWidth), ints(position, 4, 1), ints(row),
                         weighted ? weight_P : View1D<float>(), View1D<int>("test::first", 3), out);
    const std::vector<float> found = to_host(out);
    for (int i = 0; i < 2 * kWidth; ++i) {
      float sum = 0;
      for (int p = 2 * (i / kWidth); p < 2 * (i / kWidth) + 2; ++p) {
        sum = std::fma(weighted ? weight[p] : 1.0f, y[position[p] * kWidth + i % kWidth], sum);
      }
      // A processor without fused multiply-add rounds the product by itself: half a unit of at most 3 * 4.
      ASSERT_NEAR(found[i], sum, 1e-6f);
    }
  }
}

TEST(CountExperts, AddsUp) {
  const View1D<std::int64_t> count("test::count", 4);
  for (int i = 0; i < 2; ++i) count_experts(exec(), ints({0, 1, 0, 3, 3, 0}, 3, 2), count);
  EXPECT_EQ(to_host_as_is(count), (std::vector<std::int64_t>{6, 2, 0, 4}));
}

}  // namespace
}  // namespace m2::test
