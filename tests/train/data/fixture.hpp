// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "io/file.hpp"
#include "text/chat_template.hpp"
#include "text/tokenizer.hpp"
#include "train/data/data_context.hpp"
#include "train/data/line_parser.hpp"

namespace m2::test {

inline constexpr int kEndOfTurnId = 3020;  ///< "[e~["
inline constexpr int kVocabSize = 3054;

inline const Tokenizer& tokenizer() {
  static const std::string path = M2_TEST_DATA "/tokenizer/tokenizer.json";
  static const Tokenizer instance = Tokenizer::from_json(read_text_file(path), path);
  return instance;
}

inline DataContext context() {
  return {.tokenizer = &tokenizer(),
          .default_system_prompt = std::string(kPlainSystemPrompt),
          .vocab_size = kVocabSize,
          .end_token = kEndOfTurnId};
}

inline std::vector<Document> parse(const std::string& line, const DataSection& section = {}) {
  const DataContext data_context = context();
  return LineParser(section, data_context).parse(line, "t.jsonl:7");
}

inline std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

}  // namespace m2::test
