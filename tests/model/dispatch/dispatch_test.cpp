// SPDX-License-Identifier: Apache-2.0
// The plans that a dispatch leaves behind, against plain loops over the routing of all ranks.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "model/dispatch/all_to_all_dispatcher.hpp"
#include "model/dispatch/local_dispatcher.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/ranks.hpp"

namespace m2::test {
namespace {

constexpr int kExperts = 7, kTopK = 3, kHidden = 8, kLayers = 2;

ModelConfig small_config() {
  ModelConfig config;
  config.architecture.hidden_size = kHidden;
  config.architecture.intermediate_size = 4;
  config.architecture.num_local_experts = kExperts;
  config.architecture.num_experts_per_tok = kTopK;
  config.architecture.num_hidden_layers = kLayers;
  config.moe = MoEConfig::from(config.architecture);
  config.backend = BackendConfig().resolved();
  return config;
}

// What the router of one rank chose in one layer: the same wherever it is asked for.
struct Choice {
  int num_tokens;
  std::vector<int> expert;    // (T, K)
  std::vector<float> weight;  // (T, K)

  Choice(int tokens, int rank, int layer) : num_tokens(tokens), weight(normal(tokens * kTopK, 100 * rank + layer)) {
    std::mt19937_64 random(10 * rank + layer);
    std::vector<int> all(kExperts);
    std::iota(all.begin(), all.end(), 0);
    for (int t = 0; t < tokens; ++t) {
      std::shuffle(all.begin(), all.end(), random);
      expert.insert(expert.end(), all.begin(), all.begin() + kTopK);
    }
  }

  // Every token to the same experts.
  static Choice of_all(int tokens, std::vector<int> experts) {
    Choice choice(tokens, 0, 0);
    for (std::size_t i = 0; i < choice.expert.size(); ++i) choice.expert[i] = experts[i % kTopK];
    return choice;
  }
};

void copy_to(const std::vector<int>& values, const View2D<int>& out) {
  const auto host = Kokkos::create_mirror_view(out);
  std::ranges::copy(values, host.data());
  Kokkos::deep_copy(out, host);
}

// As if every expert doubled its rows.
void answer_twice(const ExpertRows<float>& rows) {
  const View2D<const float> x_RD = rows.x_RD;
  const View2D<float> y_RD = rows.y_RD;
  Kokkos::parallel_for(
      "m2::test::answer_twice", Kokkos::RangePolicy<ExecSpace>(exec(), 0, int(x_RD.size())),
      KOKKOS_LAMBDA(int i) { y_RD.data()[i] = 2 * x_RD.data()[i]; });
}

// One layer's dispatch of a rank: its input, and answers that are twice the rows.
class Layer {
 public:
  Layer(const ModelConfig& config, const ExpertParallel* parallel, const Choice& choice, Workspace& workspace)
      : buffers(config, parallel, choice.num_tokens, workspace),
        x_(normal(std::int64_t(choice.num_tokens) * kHidden, 3)),
        x_TD(to_device<float>(x_, choice.num_tokens, kHidden)),
        out_TD("test::out", choice.num_tokens, kHidden),
        choice_(choice) {
    route(choice);
  }

  void route(const Choice& choice) {
    choice_ = choice;
    copy_to(choice.expert, buffers.routing.expert_TK);
    Kokkos::deep_copy(buffers.routing.weight_TK, to_device<float>(choice.weight, choice.num_tokens, kTopK));
  }

  template <class Dispatcher>
  auto run(const Dispatcher& dispatcher) {
    auto handle = dispatcher.template dispatch<float>(exec(), x_TD, buffers.routing, buffers);
    while (const ExpertRows<float>* rows = handle.next(exec())) {
      answer_twice(*rows);
      handle.send_back(exec());
    }
    dispatcher.template combine<float>(exec(), handle, out_TD);
    expect_combined();
    return handle;
  }

  MoEActivations<float> buffers;

 private:
  // out[t] = 2 x[t] times the sum of its weights, in float: K products and K - 1 sums of at most 4 x 4.
  void expect_combined() const {
    std::vector<float> expected;
    for (int t = 0; t < choice_.num_tokens; ++t) {
      const auto first = choice_.weight.begin() + t * kTopK;
      const float weight = std::accumulate(first, first + kTopK, 0.0f);
      for (int d = 0; d < kHidden; ++d) expected.push_back(2 * weight * x_[t * kHidden + d]);
    }
    EXPECT_TRUE(all_close(to_host(out_TD), expected, 1e-4));
  }

  std::vector<float> x_;
  View2D<const float> x_TD;
  View2D<float> out_TD;
  Choice choice_;
};

// Rows sorted by expert, those of one expert by slot.
struct Sorted {
  std::vector<int> offset, row_of_slot, slot_of_row;

  Sorted(const std::vector<int>& expert, int num_experts) : offset{0}, row_of_slot(expert.size()) {
    for (int e = 0; e < num_experts; ++e) {
      for (std::size_t slot = 0; slot < expert.size(); ++slot) {
        if (expert[slot] != e) continue;
        row_of_slot[slot] = int(slot_of_row.size());
        slot_of_row.push_back(int(slot));
      }
      offset.push_back(int(slot_of_row.size()));
    }
  }
};

void expect_plan(const LocalPlan& plan, const Choice& choice) {
  const Sorted sorted(choice.expert, kExperts);
  EXPECT_EQ(to_host_as_is(plan.offset_E1), sorted.offset);
  EXPECT_EQ(to_host_as_is(plan.row_TK), sorted.row_of_slot);
  std::vector<int> token;
  for (const int slot : sorted.slot_of_row) token.push_back(slot / kTopK);
  EXPECT_EQ(to_host_as_is(plan.token_R), token);
}

TEST(LocalDispatch, LeavesAPlanThatAnotherLayerDoesNotChange) {
  const ModelConfig config = small_config();
  const LocalDispatcher dispatcher(config.moe);
  Workspace workspace(exec(), 1 << 20);
  const Choice first(37, 0, 0), second(37, 0, 1);
  Layer layer(config, nullptr, first, workspace);
  const auto handle = layer.run(dispatcher);
  expect_plan(handle.plan(), first);
  layer.route(second);
  const auto other = layer.run(dispatcher);
  expect_plan(handle.plan(), first);
  expect_plan(other.plan(), second);
}

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
