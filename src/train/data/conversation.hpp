// SPDX-License-Identifier: Apache-2.0
// Conversations as datasets write them, and the samples that are made of one.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "config/training_sections.hpp"

namespace m2 {

/// The messages of a ShareGPT list of {"from": "human", "value": ...}: system, human or user, gpt, assistant, model or
/// chatgpt, function_call (whose value is the JSON of the call), tool or observation. Throws Error naming the index for
/// anything else.
nlohmann::ordered_json sharegpt_messages(const nlohmann::ordered_json& conversations);

/// The messages of Alpaca's three texts: the instruction and, on a line of its own, the input are the user's, the
/// output is the answer.
nlohmann::ordered_json alpaca_messages(const std::string& instruction, const std::string& input,
                                       const std::string& output);

/// A sample of a conversation: its first `num_messages` messages, of which those assistant messages carry loss that
/// stand at `first_trained` or later.
struct ConversationSample {
  std::size_t num_messages = 0;
  std::size_t first_trained = 0;
};

/// `as_template`: one sample with the whole conversation, in which the chat template leaves out the thoughts of all but
/// the last turn. `expand`: one for each message (or run of messages) of the user that was answered, which ends with
/// these answers and trains them, thoughts included, and no earlier one: every answer is trained once. `last` gives one
/// sample, which ends with the last assistant message and trains it alone. There is always a sample: of a conversation
/// without assistant messages, one that trains nothing.
std::vector<ConversationSample> conversation_samples(const nlohmann::ordered_json& messages, TrainOn train_on,
                                                     HistoryThinking history_thinking);

}  // namespace m2
