// SPDX-License-Identifier: Apache-2.0
#include "train/data/document.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "text/utf8.hpp"

namespace m2 {
namespace {

void append_token(std::int32_t token, const Tokenizer* tokenizer, std::string& bytes) {
  if (tokenizer != nullptr && tokenizer->has_token(token)) {
    bytes += tokenizer->token_bytes(token);
  } else {
    bytes += fmt::format("<{}>", token);
  }
}

}  // namespace

std::int64_t count_labels(std::span<const std::int32_t> labels) {
  return std::ssize(labels) - std::ranges::count(labels, kNoLabel);
}

std::string show_document(const Document& document, const Tokenizer* tokenizer) {
  std::string bytes;
  bool marked = false;
  for (std::size_t i = 0; i < document.tokens.size(); ++i) {
    const std::int32_t token = document.tokens[i], label = document.labels[i];
    const bool has_loss = label != kNoLabel;
    if (has_loss != marked) bytes += has_loss ? "[[" : "]]";
    marked = has_loss;
    append_token(token, tokenizer, bytes);
    if (has_loss && label != token) {
      bytes += "(label: ";
      append_token(label, tokenizer, bytes);
      bytes += ')';
    }
  }
  if (marked) bytes += "]]";
  // A mark can stand inside a code point, whose tokens carry loss in part.
  std::string text;
  if (append_whole_code_points(bytes, text) < bytes.size()) text += kReplacementCharacter;
  return fmt::format("file {}, line {}, document {} from token {}: {} tokens, {} with loss\n{}\n", document.id.file,
                     document.line, document.id.document, document.id.first_token, document.tokens.size(),
                     count_labels(document.labels), text);
}

}  // namespace m2
