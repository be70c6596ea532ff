// SPDX-License-Identifier: Apache-2.0
#include "train/flop_count.hpp"

namespace m2 {

double training_flop(const MiniMaxM2Config& config, std::span<const std::int64_t> lengths) {
  const double hidden = config.hidden_size, layers = config.num_hidden_layers;
  const double query = double(config.num_attention_heads) * config.head_dim;
  const double key = double(config.num_key_value_heads) * config.head_dim;
  const double projections = hidden * (2.0 * query + 2.0 * key);
  const double experts = 3.0 * hidden * config.intermediate_size * config.num_experts_per_tok;
  const double router = hidden * config.num_local_experts;
  const double by_token = 2.0 * (layers * (projections + experts + router) + hidden * config.vocab_size);
  double flop = 0.0;
  for (const std::int64_t length : lengths) {
    const double seen = 0.5 * double(length) * double(length + 1);  // positions that its tokens see
    flop += 3.0 * by_token * double(length) + 3.5 * layers * 4.0 * query * seen;
  }
  return flop;
}

}  // namespace m2
