// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "config/training_sections.hpp"
#include "train/data/data_context.hpp"
#include "train/data/document.hpp"

namespace m2 {

/// Makes documents of a line of training data, a JSON object of one of these forms:
///
///   {"text"}                               all carries loss; the end token follows, if the text does not end with it
///   {"prompt", "completion"}               the completion carries loss, as the end token behind it does
///   {"messages", "tools"?}                 the chat template; assistant messages carry loss (AssistantTurn)
///   {"conversations", "system"?, "tools"?} ShareGPT, as messages
///   {"instruction", "input"?, "output", "system"?}   Alpaca, as messages
///   {"token_ids", "labels"?}               as given; without labels, all carries loss
///
/// Texts are tokenised as a whole, so that training sees the tokens of inference; a token carries loss if one of its
/// bytes does. The first token never does: nothing precedes it. `columns` of the section gives the keys their names in
/// the file; then other keys are not looked at, else a line of two forms is an Error. Keys of no form are ignored.
/// May be used from several threads at once.
class LineParser {
 public:
  /// Throws UsageError for a column that is not "OURS=THEIRS". `context` must outlive this.
  LineParser(const DataSection& section, const DataContext& context);

  /// Usually one document; of a conversation perhaps several (conversation_samples()). Throws Error beginning with
  /// `where` that says what was found and what is expected.
  std::vector<Document> parse(std::string_view line, const std::string& where) const;

 private:
  using Json = nlohmann::ordered_json;

  /// The line's value of our `key`; nullptr if it has none or null.
  const Json* find(const Json& line, std::string_view key) const;
  const std::string& text(const Json& line, std::string_view key) const;
  std::string name(std::string_view key) const;
  std::vector<Document> parse_object(const Json& line) const;
  std::vector<Document> parse_messages(Json messages, const Json& line) const;
  Document parse_token_ids(const Json& line) const;
  Json tools(const Json& line) const;
  struct Part {
    std::size_t begin, end;  // bytes
  };
  /// The tokens of `text`; those with a byte in one of the parts, which ascend, are labels.
  Document encode(const std::string& text, const std::vector<Part>& parts) const;
  void append_end(Document& document) const;

  DataSection section_;
  const DataContext& context_;
  std::map<std::string, std::string, std::less<>> columns_;  // ours -> theirs; empty: the same
};

}  // namespace m2
