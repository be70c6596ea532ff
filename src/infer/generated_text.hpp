// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "text/detokenizer.hpp"

namespace m2 {

/// The text of a growing sequence, without special tokens, which ends before the first stop string in it.
class GeneratedText {
 public:
  /// Both arguments must outlive it. No stop string is empty.
  GeneratedText(const Tokenizer& tokenizer, std::span<const std::string> stop);

  /// Adds a token. True when a stop string is complete; the text ends before it then, whatever tokens it spans.
  bool push(int token);
  /// The sequence ends here: a code point cut off becomes U+FFFD.
  void finish();

  const std::string& text() const { return text_; }

  /// What was added since the last call, but for an end that may become a stop string.
  std::string_view take_certain();

 private:
  bool cut_at_stop(std::size_t first_new);
  std::size_t certain_bytes() const;

  StreamingDetokenizer detokenizer_;
  std::span<const std::string> stop_;
  std::string text_;
  std::size_t taken_bytes_ = 0;
  bool ended_ = false;
};

}  // namespace m2
