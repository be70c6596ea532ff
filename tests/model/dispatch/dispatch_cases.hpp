// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "config/model_config.hpp"
#include "model/dispatch/dispatch_buffers.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"

// What the tests of both dispatchers share: a small layer whose router's choice is known everywhere, and plain loops.

namespace m2::test {

inline constexpr int kExperts = 7, kTopK = 3, kHidden = 8, kLayers = 2;

inline ModelConfig small_config() {
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

inline void copy_to(const std::vector<int>& values, const View2D<int>& out) {
  const auto host = Kokkos::create_mirror_view(out);
  std::ranges::copy(values, host.data());
  Kokkos::deep_copy(out, host);
}

// As if every expert doubled its rows.
inline void answer_twice(const ExpertRows<float>& rows) {
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

}  // namespace m2::test
