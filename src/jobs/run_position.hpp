// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "config/deck.hpp"
#include "train/data/train_data.hpp"
#include "train/trainer.hpp"

namespace m2 {

/// Where a run stands between two steps: with the weights and the optimizer's state, all that the next steps depend on.
struct RunPosition {
  std::int64_t step = 0;
  DataPosition data;
  TrainerPosition trainer;
  std::int64_t validated_step = -1;  ///< the last step after which there was a validation
  std::optional<double> best_validation = {};
  std::optional<std::int64_t> best_step = {};
};

/// The JSON that a checkpoint keeps of it, with the deck that was run and the fingerprint of its data.
std::string position_json(const RunPosition& position, const Deck& deck, std::uint64_t data_fingerprint);

/// Throws Error for a text that position_json() did not write; `file` begins the message.
RunPosition read_position(const std::string& json, const std::string& file);

/// Throws Error, which names the keys that differ and their values, unless a run of `deck` does the same steps as the
/// one that wrote `json`: data, batches, optimizer and schedule.
void require_same_run(const Deck& deck, std::uint64_t data_fingerprint, const std::string& json,
                      const std::string& file);

}  // namespace m2
