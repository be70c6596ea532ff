// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "comm/communicator.hpp"
#include "kernels/moe/exchange_plan.hpp"
#include "parallel/expert_placement.hpp"

namespace m2 {

/// What one rank has exchanged with others so far, for all layers; what stays on the rank does not count.
struct ExchangeTraffic {
  std::int64_t token_layers = 0;  ///< tokens of this rank, once for each layer
  std::int64_t rows_sent = 0;     ///< token rows on their way to experts: each token once for each rank that wants it
  std::int64_t row_bytes = 0;     ///< of these rows
  std::int64_t slot_bytes = 0;    ///< which rows go to which experts, and how much they weigh
  std::int64_t answers_sent = 0;  ///< rows on their way back
  std::int64_t answer_bytes = 0;

  void add(const ExchangeTraffic& other);
};

/// The experts of a model split over the ranks of `group`; one object for all layers. Attention, router and embeddings
/// are on every rank, and each rank passes tokens of its own through the layers.
struct ExpertParallel {
  std::shared_ptr<Communicator> group;
  ExpertPlacement placement;
  /// Tokens of each rank in one exchange, the same on all ranks. A pass of more tokens takes several exchanges. The
  /// buffers hold size() times as many rows, however uneven the routing is: nothing is dropped.
  std::int64_t tokens_per_exchange = 256;
  /// Sums each token's answers on the ranks of the experts before they return: fewer bytes, but bits depend on the
  /// layout.
  bool reduce_answers = false;
  /// Sends the rows of the next exchange while the experts work on this one. Twice the buffers.
  bool overlap = false;
  ExchangeTraffic traffic = {};

  /// Token-expert slots that arrive in one exchange, at most.
  std::int64_t max_slots(int top_k) const;
  /// Where the experts of a layer live, on the device.
  ExpertMap map(const ExecSpace& exec, int layer) const;
};

/// Tokens per exchange for which the buffers of `num_ranks` ranks are those of one rank with passes of `max_tokens`.
std::int64_t default_tokens_per_exchange(std::int64_t max_tokens, int num_ranks, bool overlap);

}  // namespace m2
