// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace m2 {

/// Byte-level BPE from a Hugging Face tokenizer.json; ids and texts equal those of the `tokenizers` library without
/// `add_special_tokens`. All functions may be called from several threads at once.
class Tokenizer {
 public:
  /// Reads the text of a tokenizer.json. `source` names it in messages. Throws Error naming the place in the JSON for
  /// anything that is malformed or that this class cannot do exactly.
  static Tokenizer from_json(std::string_view tokenizer_json, const std::string& source);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// Token ids of `text`. Added tokens written out in it, special or not, are recognised (leftmost, then longest);
  /// nothing is added. Throws if `text` is not UTF-8 (with the byte offset) or the split pattern runs into its limits.
  /// `begins` receives the byte of `text` where each token begins.
  std::vector<std::int32_t> encode(std::string_view text, std::vector<std::size_t>* begins = nullptr) const;

  /// Text of `ids`; bytes that are not UTF-8 become U+FFFD. `skip_special` leaves special tokens out. Throws for an id
  /// without a token.
  std::string decode(std::span<const std::int32_t> ids, bool skip_special = false) const;

  /// The bytes `id` stands for, perhaps a part of a code point. Valid as long as the Tokenizer. Throws for an id
  /// without a token.
  std::string_view token_bytes(std::int32_t id) const;

  /// Id of a token as it is written in the vocabulary ("Ġthe") or among the added tokens ("<think>").
  std::optional<std::int32_t> find(std::string_view token) const;

  /// Highest id + 1. Ids below it may have no token.
  std::int32_t num_tokens() const;
  bool has_token(std::int32_t id) const;
  /// Whether `id` is an added token marked special. False for an id without a token.
  bool is_special(std::int32_t id) const;

 private:
  struct Parts;
  explicit Tokenizer(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

}  // namespace m2
