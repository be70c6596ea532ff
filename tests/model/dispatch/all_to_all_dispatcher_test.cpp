// SPDX-License-Identifier: Apache-2.0
// The plans that a dispatch leaves behind, against plain loops over the routing of all ranks.
#include "model/dispatch/all_to_all_dispatcher.hpp"

#include <algorithm>
#include <random>

#include "model/dispatch/dispatch_cases.hpp"
#include "support/ranks.hpp"

namespace m2::test {
namespace {

// Every expert on one to three ranks.
ExpertPlacement random_placement(int num_ranks) {
  std::mt19937_64 random(num_ranks);
  std::vector<std::vector<std::vector<int>>> layers(kLayers);
  for (auto& layer : layers) {
    for (int e = 0; e < kExperts; ++e) {
      std::vector<int> ranks{e < num_ranks ? e : int(random() % num_ranks)};
      const int second = int(random() % num_ranks);
      if (second != ranks[0]) ranks.push_back(second);
      layer.push_back(ranks);
    }
  }
  return ExpertPlacement(layers, kLayers, kExperts, num_ranks, "test");
}

class AllToAllDispatch : public ::testing::TestWithParam<bool> {
 protected:
  static constexpr std::int64_t kPerExchange = 4;

  const int rank = session().rank(), size = session().size();
  const ModelConfig config = small_config();
  const std::shared_ptr<ExpertParallel> parallel =
      std::make_shared<ExpertParallel>(ExpertParallel{.group = session().world().split(0),
                                                      .placement = random_placement(size),
                                                      .tokens_per_exchange = kPerExchange,
                                                      .overlap = GetParam()});

  // Other numbers on each rank; of several the last has none.
  int tokens_of(int of_rank) const { return size > 1 && of_rank == size - 1 ? 0 : 14 - 3 * of_rank; }

  struct Slot {
    int token, k, to, expert;
  };

  // What rank `from` sends in an exchange, in the order of destination, token, k.
  std::vector<Slot> sent_slots(int layer, int from, int exchange) const {
    const Choice choice(tokens_of(from), from, layer);
    std::vector<Slot> slots;
    for (int to = 0; to < size; ++to) {
      const std::vector<int> experts = parallel->placement.experts_of(layer, to);
      for (int t = exchange * kPerExchange; t < std::min<int>(choice.num_tokens, (exchange + 1) * kPerExchange); ++t) {
        for (int k = 0; k < kTopK; ++k) {
          const int e = choice.expert[t * kTopK + k];
          const std::vector<int>& copies = parallel->placement.ranks_of(layer)[e];
          if (copies[(t + from) % copies.size()] != to) continue;
          slots.push_back({t, k, to, int(std::ranges::find(experts, e) - experts.begin())});
        }
      }
    }
    return slots;
  }

  // Rows are slots without those of the same token and destination as the one before.
  static bool begins_row(const std::vector<Slot>& slots, std::size_t i) {
    return i == 0 || slots[i].token != slots[i - 1].token || slots[i].to != slots[i - 1].to;
  }

  void expect_sent(const Exchange& exchange, const std::vector<Slot>& slots) const {
    Counts rows(size), num_slots(size);
    std::vector<int> token;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      ++num_slots[slots[i].to];
      if (!begins_row(slots, i)) continue;
      ++rows[slots[i].to];
      token.push_back(slots[i].token - int(exchange.sent.first_token));
    }
    EXPECT_EQ(exchange.sent_rows, rows);
    EXPECT_EQ(exchange.sent_slots, num_slots);
    EXPECT_EQ(to_host_as_is(exchange.sent.token_S), token);
  }

  void expect_arrived(const Exchange& exchange, int layer, int number) const {
    Counts rows(size), num_slots(size);
    std::vector<int> expert, row;
    std::vector<float> weight;
    int num_rows = 0;
    for (int from = 0; from < size; ++from) {
      const Choice choice(tokens_of(from), from, layer);
      const std::vector<Slot> slots = sent_slots(layer, from, number);
      for (std::size_t i = 0; i < slots.size(); ++i) {
        if (slots[i].to != rank) continue;
        if (begins_row(slots, i)) ++num_rows, ++rows[from];
        ++num_slots[from];
        expert.push_back(slots[i].expert);
        row.push_back(num_rows - 1);
        weight.push_back(choice.weight[slots[i].token * kTopK + slots[i].k]);
      }
    }
    EXPECT_EQ(exchange.arrived_rows, rows);
    EXPECT_EQ(exchange.arrived_slots, num_slots);
    const Sorted sorted(expert, int(parallel->placement.experts_of(layer, rank).size()));
    std::vector<int> row_of_row;
    for (const int slot : sorted.slot_of_row) row_of_row.push_back(row[slot]);
    EXPECT_EQ(to_host_as_is(exchange.arrived.expert_P1), expert);
    EXPECT_EQ(to_host_as_is(exchange.arrived.row_P), row);
    EXPECT_EQ(to_host_as_is(exchange.arrived.weight_P), weight);
    EXPECT_EQ(to_host_as_is(exchange.arrived.offset_L1), sorted.offset);
    EXPECT_EQ(to_host_as_is(exchange.arrived.position_P1), sorted.row_of_slot);
    EXPECT_EQ(to_host_as_is(exchange.arrived.slot_R), sorted.slot_of_row);
    EXPECT_EQ(to_host_as_is(exchange.arrived.row_R), row_of_row);
  }

  void expect_plan(const ExchangeHandle<float>& handle, int layer) const {
    ASSERT_EQ(std::ssize(handle.exchanges()), (tokens_of(0) + kPerExchange - 1) / kPerExchange);
    std::vector<int> place(tokens_of(rank) * kTopK);
    int num_sent = 0;
    for (int number = 0; number < std::ssize(handle.exchanges()); ++number) {
      SCOPED_TRACE(testing::Message() << "layer " << layer << ", exchange " << number);
      const std::vector<Slot> slots = sent_slots(layer, rank, number);
      expect_sent(handle.exchanges()[number], slots);
      expect_arrived(handle.exchanges()[number], layer, number);
      EXPECT_EQ(handle.exchanges()[number].first_answer, num_sent);
      for (const Slot& slot : slots) place[slot.token * kTopK + slot.k] = num_sent++;
    }
    EXPECT_EQ(to_host_as_is(handle.places().place_TK), place);
  }
};

INSTANTIATE_TEST_SUITE_P(Overlap, AllToAllDispatch, ::testing::Bool(),
                         [](const auto& overlap) { return overlap.param ? "on" : "off"; });

TEST_P(AllToAllDispatch, LeavesThePlanOfEveryExchangeThatAnotherLayerDoesNotChange) {
  Workspace workspace(exec(), 1 << 20);
  Layer layer(config, parallel.get(), Choice(tokens_of(rank), rank, 0), workspace);
  const AllToAllDispatcher dispatchers[]{{config.moe, parallel, 0}, {config.moe, parallel, 1}};
  const auto handle = layer.run(dispatchers[0]);
  expect_plan(handle, 0);
  layer.route(Choice(tokens_of(rank), rank, 1));
  const auto other = layer.run(dispatchers[1]);
  expect_plan(handle, 0);
  expect_plan(other, 1);
}

// All tokens of all ranks go to experts that rank 0 alone holds: no pass takes more there.
TEST_P(AllToAllDispatch, TakesNoMoreThanIsCounted) {
  constexpr int kTokens = 4 * kPerExchange;
  std::vector<std::vector<int>> ranks_of(kExperts, std::vector<int>{0});
  for (int other = 1; other < size; ++other) ranks_of[kExperts - other] = {other};
  parallel->placement = ExpertPlacement(std::vector(kLayers, ranks_of), kLayers, kExperts, size, "test");
  Workspace counter;
  const MoEActivations<float> counted(config, parallel.get(), kTokens, counter);
  take_largest_plan(config.architecture, parallel.get(), kTokens, counter);
  Workspace workspace(exec(), counter.peak_bytes());
  Layer layer(config, parallel.get(), Choice::of_all(kTokens, {0, 1, 2}), workspace);
  layer.run(AllToAllDispatcher(config.moe, parallel, 0));
  if (rank == 0) {
    EXPECT_EQ(workspace.peak_bytes(), counter.peak_bytes());
  }
}

}  // namespace
}  // namespace m2::test
