// SPDX-License-Identifier: Apache-2.0
#include "model/packing.hpp"

#include <numeric>

#include "core/error.hpp"

namespace m2 {
namespace {

// NeMo AutoModel pads cu_seqlens with this value.
constexpr int kCuSeqlensPadding = -1000;

// Where sequence b begins in input_ids; one entry more than there are sequences.
std::vector<std::int64_t> sequence_offsets(const InputIds& input_ids, const ForwardOptions& options) {
  std::vector<std::int64_t> offsets;
  if (options.qkv_format == QkvFormat::bshd) {
    M2_REQUIRE(options.cu_seqlens.empty(), "cu_seqlens is given, but qkv_format is bshd: it belongs to thd");
    for (int b = 0; b <= input_ids.num_sequences; ++b) offsets.push_back(std::int64_t(b) * input_ids.length);
    return offsets;
  }
  M2_REQUIRE(input_ids.num_sequences == 1, "qkv_format thd: input_ids must be one row, found {}",
             input_ids.num_sequences);
  M2_REQUIRE(options.attention_mask.empty(),
             "qkv_format thd has no padding: attention_mask must be empty, found {} entries",
             options.attention_mask.size());
  for (const int end : options.cu_seqlens) {
    if (end == kCuSeqlensPadding) break;
    M2_REQUIRE(offsets.empty() ? end == 0 : end >= offsets.back(),
               "cu_seqlens[{}] is {}: it must begin with 0 and never fall", offsets.size(), end);
    offsets.push_back(end);
  }
  M2_REQUIRE(offsets.size() >= 2 && offsets.back() == input_ids.length,
             "cu_seqlens must end at the number of tokens, {}, found {}", input_ids.length,
             offsets.empty() ? 0 : offsets.back());
  return offsets;
}

template <class T>
void require_shape(const char* name, const std::vector<T>& values, const InputIds& input_ids) {
  const auto expected = std::size_t(input_ids.num_sequences) * std::size_t(input_ids.length);
  M2_REQUIRE(values.empty() || values.size() == expected, "{} has {} entries, input_ids {} x {}", name, values.size(),
             input_ids.num_sequences, input_ids.length);
}

void require_arrays(const InputIds& input_ids, const ForwardOptions& options) {
  M2_REQUIRE(input_ids.num_sequences >= 0 && input_ids.length >= 0 &&
                 input_ids.ids.size() == std::size_t(input_ids.num_sequences) * std::size_t(input_ids.length),
             "input_ids has {} entries, expected {} sequences x {} tokens", input_ids.ids.size(),
             input_ids.num_sequences, input_ids.length);
  require_shape("position_ids", options.position_ids, input_ids);
  require_shape("attention_mask", options.attention_mask, input_ids);
  require_shape("padding_mask", options.padding_mask, input_ids);
}

}  // namespace

int num_sequences(const InputIds& input_ids, const ForwardOptions& options) {
  return int(sequence_offsets(input_ids, options).size()) - 1;
}

PackedInput pack_input(const MiniMaxM2Config& config, const InputIds& input_ids, const ForwardOptions& options,
                       const std::vector<std::int64_t>& cached_B) {
  require_arrays(input_ids, options);
  const std::vector<std::int64_t> offsets = sequence_offsets(input_ids, options);
  PackedInput packed;
  for (std::size_t b = 0; b + 1 < offsets.size(); ++b) {
    const std::int64_t cached = cached_B.empty() ? 0 : cached_B[b];
    std::int64_t length = 0;
    for (std::int64_t i = offsets[b]; i < offsets[b + 1]; ++i) {
      const bool is_real = options.attention_mask.empty() || options.attention_mask[i] != 0;
      if (!is_real) continue;
      const std::int64_t position = options.position_ids.empty() ? cached + i - offsets[b] : options.position_ids[i];
      M2_REQUIRE(position >= 0 && position < config.max_position_embeddings,
                 "position {} of token {} is outside 0..{} (max_position_embeddings)", position, i,
                 config.max_position_embeddings - 1);
      const int token = input_ids.ids[i];
      M2_REQUIRE(token >= 0 && token < config.vocab_size, "input_ids: token {} is {}, outside the vocabulary 0..{}", i,
                 token, config.vocab_size - 1);
      packed.tokens.add(token, int(position), int(b), int(cached + length),
                        !options.padding_mask.empty() && options.padding_mask[i] != 0);
      packed.source_T.push_back(i);
      ++length;
    }
    packed.length_B.push_back(length);
  }
  return packed;
}

std::vector<int> kept_positions(const InputIds& input_ids, const ForwardOptions& options) {
  const int length = input_ids.length;
  if (!options.logits_positions.empty()) {
    M2_REQUIRE(options.logits_to_keep == 0, "logits_to_keep {} and a list of logits_positions exclude one another",
               options.logits_to_keep);
    for (const int position : options.logits_positions) {
      M2_REQUIRE(position >= 0 && position < length, "logits_positions: {} is outside 0..{}", position, length - 1);
    }
    return options.logits_positions;
  }
  const int count = options.logits_to_keep == 0 ? length : options.logits_to_keep;
  M2_REQUIRE(count >= 0 && count <= length, "logits_to_keep is {}, the sequences have {} positions",
             options.logits_to_keep, length);
  std::vector<int> positions(count);
  std::iota(positions.begin(), positions.end(), length - count);
  return positions;
}

}  // namespace m2
