// SPDX-License-Identifier: Apache-2.0
#include "text/detokenizer.hpp"

#include "text/utf8.hpp"

namespace m2 {

StreamingDetokenizer::StreamingDetokenizer(const Tokenizer& tokenizer, bool skip_special)
    : tokenizer_(&tokenizer), skip_special_(skip_special) {}

std::string StreamingDetokenizer::push(std::int32_t id) {
  const std::string_view bytes = tokenizer_->token_bytes(id);
  if (skip_special_ && tokenizer_->is_special(id)) return {};
  pending_ += bytes;
  std::string text;
  pending_.erase(0, append_whole_code_points(pending_, text));
  return text;
}

std::string StreamingDetokenizer::finish() {
  std::string text;
  if (!pending_.empty()) text = kReplacementCharacter;
  pending_.clear();
  return text;
}

}  // namespace m2
