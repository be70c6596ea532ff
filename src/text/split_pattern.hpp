// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace m2 {

/// Cuts text into the pieces that byte pair encoding works on: the matches of a regular expression, as the Split
/// pre-tokenizer of Hugging Face does. Not for several threads at once.
class SplitPattern {
 public:
  enum class Unmatched { keep, drop };  // text between matches: a piece of its own, or left out

  /// Throws Error beginning with `where` if the pattern is not valid.
  SplitPattern(std::string_view pattern, Unmatched unmatched, const std::string& where);
  SplitPattern(SplitPattern&&) noexcept;
  SplitPattern& operator=(SplitPattern&&) noexcept;
  ~SplitPattern();

  /// Replaces `pieces` by the non-empty pieces of `text`, in order; they point into it. `text` must be UTF-8. Throws if
  /// the pattern needs more steps or memory than its limits allow.
  void split(std::string_view text, std::vector<std::string_view>& pieces);

 private:
  struct Regex;
  std::unique_ptr<Regex> regex_;
  Unmatched unmatched_;
};

}  // namespace m2
