// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "text/tokenizer.hpp"

namespace m2 {

/// Turns a growing sequence of ids into text without ever giving half a code point. All strings given, one after the
/// other, are Tokenizer::decode of all ids. The Tokenizer must outlive it.
class StreamingDetokenizer {
 public:
  explicit StreamingDetokenizer(const Tokenizer& tokenizer, bool skip_special = false);

  /// The text that became certain with this token: whole code points, U+FFFD for bytes that can no longer become one.
  /// Throws for an id without a token.
  std::string push(std::int32_t id);

  /// The rest: U+FFFD if the sequence ended within a code point, else nothing. Ready for a new sequence afterwards.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::string pending_;  // the beginning of a code point, at most three bytes between calls
};

}  // namespace m2
