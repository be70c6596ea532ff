// SPDX-License-Identifier: Apache-2.0
#include "infer/generated_text.hpp"

#include <algorithm>

namespace m2 {

GeneratedText::GeneratedText(const Tokenizer& tokenizer, std::span<const std::string> stop)
    : detokenizer_(tokenizer, /*skip_special=*/true), stop_(stop) {}

bool GeneratedText::push(int token) {
  const std::size_t first_new = text_.size();
  text_ += detokenizer_.push(token);
  return cut_at_stop(first_new);
}

void GeneratedText::finish() {
  const std::size_t first_new = text_.size();
  if (!ended_) text_ += detokenizer_.finish();
  cut_at_stop(first_new);
  ended_ = true;
}

// Cuts before the stop string that begins first; text before `first_new` was searched already.
bool GeneratedText::cut_at_stop(std::size_t first_new) {
  std::size_t cut = std::string::npos;
  for (const std::string& stop : stop_) {
    const std::size_t from = first_new - std::min(first_new, stop.size() - 1);
    cut = std::min(cut, text_.find(stop, from));
  }
  if (cut == std::string::npos) return false;
  text_.resize(cut);
  ended_ = true;
  return true;
}

// All but the longest end of the text that is the beginning of a stop string.
std::size_t GeneratedText::certain_bytes() const {
  std::size_t held_back = 0;
  for (const std::string& stop : stop_) {
    for (std::size_t size = std::min(stop.size() - 1, text_.size()); size > held_back; --size) {
      if (text_.ends_with(std::string_view(stop).substr(0, size))) held_back = size;
    }
  }
  return text_.size() - held_back;
}

std::string_view GeneratedText::take_certain() {
  const std::size_t begin = taken_bytes_;
  taken_bytes_ = std::max(begin, ended_ ? text_.size() : certain_bytes());
  return std::string_view(text_).substr(begin, taken_bytes_ - begin);
}

}  // namespace m2
