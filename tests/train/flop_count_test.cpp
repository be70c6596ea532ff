// SPDX-License-Identifier: Apache-2.0
#include "train/flop_count.hpp"

#include <gtest/gtest.h>

#include <array>

namespace m2::test {
namespace {

// One layer, counted by hand.
TEST(FlopCount, OfASmallModel) {
  MiniMaxM2Config config;
  config.hidden_size = 8;
  config.num_hidden_layers = 1;
  config.num_attention_heads = 2;
  config.num_key_value_heads = 1;
  config.head_dim = 4;
  config.intermediate_size = 6;
  config.num_local_experts = 5;
  config.num_experts_per_tok = 2;
  config.vocab_size = 10;
  const double projections = 8 * (8 + 4 + 4 + 8), experts = 2 * 3 * 8 * 6, router = 8 * 5, head = 8 * 10;
  const double by_token = 3 * 2 * (projections + experts + router + head);
  const double attention = 3.5 * 4 * 8;  // a product of two vectors of 8 and their sum back, for each position seen
  EXPECT_EQ(training_flop(config, std::array<std::int64_t, 1>{3}), 3 * by_token + 6 * attention);
  EXPECT_EQ(training_flop(config, std::array<std::int64_t, 2>{3, 1}), 4 * by_token + 7 * attention);
}

}  // namespace
}  // namespace m2::test
