// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/split_pattern.hpp"

namespace m2 {

/// Highest token id that is read, twenty times the released vocabulary; it bounds the tables indexed by id.
inline constexpr std::int64_t kMaxTokenId = (1 << 22) - 1;

/// What a tokenizer.json says, as far as this system can do it exactly.
struct TokenizerSpec {
  struct VocabularyEntry {
    std::string token;  // in the byte alphabet
    std::int32_t id;
  };
  struct MergeRule {
    std::string left, right;
  };
  struct AddedToken {
    std::string content;
    std::int32_t id;
    bool special;
    bool normalized;  // searched for only between the tokens that are not
  };

  std::vector<VocabularyEntry> vocabulary;
  std::vector<MergeRule> merges;  // by rank
  std::vector<AddedToken> added_tokens;
  bool ignore_merges = false;  // a piece that is a token as a whole is not taken apart
  std::string split_pattern;
  SplitPattern::Unmatched unmatched = SplitPattern::Unmatched::keep;
};

/// Reads the text of a tokenizer.json. Throws Error naming `source`, the place in the JSON, what is there and what is
/// supported. Fields without influence on ids or text (padding, truncation, offsets) are not read.
TokenizerSpec parse_tokenizer_spec(std::string_view tokenizer_json, const std::string& source);

}  // namespace m2
