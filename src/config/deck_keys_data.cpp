// SPDX-License-Identifier: Apache-2.0
// The keys of the section data.
#include <limits>

#include "config/deck_key_makers.hpp"

namespace m2::deck_key {
namespace {

constexpr auto kSection = &Deck::data;

/// data.file of train: null, because data.files can be in its place.
DeckKey file_to_train_on() {
  DeckKey result = path("data.file", kTrain, kSection, &DataSection::file, PathUse::read,
                        "What to train on, as JSON Lines with text, messages, prompt and completion, or token_ids; or "
                        "a file of m2-convert tokenize. Either this or data.files.");
  result.read = [](const YamlNode& value, Deck& deck) {
    std::optional<std::string> file;
    if (!read_value(value, NonEmptyText{}, file)) return false;
    deck.data.file = file.value_or("");
    return true;
  };
  result.print = [](const Deck& deck) { return deck.data.file.empty() ? "null" : print_value(deck.data.file); };
  return with_example(std::move(result), "train.jsonl");
}

void add_sources(std::vector<DeckKey>& keys) {
  keys.push_back(with_example(path("data.file", kScore, kSection, &DataSection::file, PathUse::read,
                                   "What to score, as JSON Lines with text or token_ids, and optionally an id."),
                              "data.jsonl", /*required=*/true));
  keys.push_back(file_to_train_on());
  keys.push_back(as_paths(texts("data.files", kTrain, kSection, &DataSection::files, "Several such files."), kSection,
                          &DataSection::files, PathUse::read));
  constexpr double kLeast = 1e-6, kMost = 1e6;
  keys.push_back(key("data.weights", kTrain, kSection, &DataSection::weights, NumberRange<double>{kLeast, kMost},
                     fmt::format("a list of numbers from {} to {}", kLeast, kMost),
                     "How often each of data.files is drawn, relative to its size. []: 1 for each."));
  keys.push_back(texts("data.columns", kTrain, kSection, &DataSection::columns,
                       "Names of a line's keys: 'completion=answer' takes what stands under answer for the completion. "
                       "The line's other keys are then ignored."));
}

void add_sequences(std::vector<DeckKey>& keys) {
  keys.push_back(whole("data.sequence_length", kTrain, kSection, &DataSection::sequence_length, 2, 1 << 20,
                       "Tokens of a sequence, at most."));
  keys.push_back(flag("data.packing", kTrain, kSection, &DataSection::packing,
                      "Puts several documents into a sequence, which do not see one another; false: one each."));
  keys.push_back(flag("data.shuffle", kTrain, kSection, &DataSection::shuffle,
                      "Another order of the documents in each epoch; false: the order of the file."));
  keys.push_back(whole("data.seed", kTrain, kSection, &DataSection::seed, 0, std::numeric_limits<std::int64_t>::max(),
                       "Of the order, of dropout and of whatever else is random: the same seed gives the same model."));
  keys.push_back(word("data.too_long", kTrain, kSection, &DataSection::too_long,
                      "What becomes of a document of more than data.sequence_length tokens; all but error are "
                      "counted."));
  keys.push_back(word("data.on_bad_line", kTrain, kSection, &DataSection::on_bad_line,
                      "What becomes of a line that cannot be read; those skipped are counted."));
  keys.push_back(real("data.holdout_fraction", kTrain, kSection, &DataSection::holdout_fraction, 0.0, 0.5,
                      "Share of the documents that is kept for validation."));
}

void add_conversations(std::vector<DeckKey>& keys) {
  keys.push_back(
      word("data.train_on", kTrain, kSection, &DataSection::train_on, "Which of a conversation's answers carry loss."));
  keys.push_back(flag("data.train_on_thinking", kTrain, kSection, &DataSection::train_on_thinking,
                      "Whether the thoughts in them carry loss, too."));
  keys.push_back(word("data.history_thinking", kTrain, kSection, &DataSection::history_thinking,
                      "Thoughts of earlier turns; template: left out, as the chat template does; expand: one sample "
                      "for each turn of the user, whose last answer keeps its own."));
}

}  // namespace

void add_data_keys(std::vector<DeckKey>& keys) {
  add_sources(keys);
  add_sequences(keys);
  add_conversations(keys);
}

}  // namespace m2::deck_key
