// SPDX-License-Identifier: Apache-2.0
// What the operations of a pass count, against the arithmetic of the model written out by hand.
#include <gmock/gmock.h>

#include <map>
#include <set>

#include "core/operation_log.hpp"
#include "model/fixture.hpp"

namespace m2::test {
namespace {

// Few of everything, no two sizes alike, blocks of FP8 with a rest.
MiniMaxM2Config odd_config() {
  MiniMaxM2Config config;
  config.hidden_size = 192;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 6;
  config.num_key_value_heads = 2;
  config.head_dim = 16;
  config.rotary_dim = 8;
  config.intermediate_size = 144;
  config.num_local_experts = 12;
  config.num_experts_per_tok = 4;
  config.vocab_size = 320;
  config.max_position_embeddings = 512;
  return config;
}

class OperationCount : public ::testing::Test {
 protected:
  static constexpr std::int64_t kHidden = 192, kLayers = 3, kQuery = 6 * 16, kKeyValue = 2 * 16, kInner = 144,
                                kExperts = 12, kTopK = 4, kVocabulary = 320;

  explicit OperationCount(bool quantised = false)
      : model_(MiniMaxM2ForCausalLM::from_config(config(quantised), {.dtype = DType::bfloat16, .exec = exec()})) {}

  static MiniMaxM2Config config(bool quantised) {
    MiniMaxM2Config result = odd_config();
    if (quantised) result.quantization.emplace();
    return result;
  }

  // Positions [begin, begin + count) of one sequence, logits of the last.
  void pass(std::int64_t begin, std::int64_t count) {
    if (begin == 0) sequence_ = cache_.add_sequence();
    ASSERT_TRUE(cache_.reserve(sequence_, begin + count));
    PackedTokens tokens;
    for (std::int64_t i = begin; i < begin + count; ++i) {
      tokens.add(int(i * 7 % kVocabulary), int(i), sequence_, int(i));
    }
    const int last = int(count - 1);
    OperationLog log(OperationLog::Timing::off);
    const OperationLog::Recording recording(log);
    model_.step(tokens, std::span(&last, 1), cache_);
    entries_.clear();
    for (const OperationLog::Entry& entry : log.entries()) entries_[entry.label()] = entry;
  }

  const OperationCost& cost(const std::string& label) const { return entries_.at(label).cost; }

  // The FLOP of a pass, and what must be the same for every dtype.
  void expect_flop(std::int64_t begin, std::int64_t count) {
    std::int64_t seen = 0;
    for (std::int64_t i = begin; i < begin + count; ++i) seen += i + 1;
    const std::int64_t attention_parameters = kHidden * (2 * kQuery + 2 * kKeyValue);
    EXPECT_EQ(cost("attention projections: gemm").flop, 2 * kLayers * count * attention_parameters);
    EXPECT_EQ(cost("router: gemm").flop, 2 * kLayers * count * kHidden * kExperts);
    EXPECT_EQ(cost("experts: grouped_gemm").flop, 2 * kLayers * count * kTopK * 3 * kHidden * kInner);
    EXPECT_EQ(cost("attention").flop, 4 * kLayers * kQuery * seen);
    EXPECT_EQ(cost("lm_head: gemm").flop, 2 * kHidden * kVocabulary);
    EXPECT_EQ(entries_.at("attention projections: gemm").calls, 4 * kLayers);
    EXPECT_EQ(entries_.at("experts: grouped_gemm").calls, 2 * kLayers);
  }

  // How many experts of a layer `count` tokens touch, of all layers together.
  std::int64_t count_touched(std::int64_t begin, std::int64_t count) {
    model_.model.count_expert_load(exec());
    pass(begin, count);
    std::int64_t touched = 0;
    for (const auto& layer : model_.model.expert_load(exec())) {
      touched += std::ssize(layer) - std::ranges::count(layer, 0);
    }
    return touched;
  }

  MiniMaxM2ForCausalLM model_;
  KVCache cache_ = model_.make_cache(1, 256);
  int sequence_ = 0;
  std::map<std::string, OperationLog::Entry> entries_;
};

class OperationCountFp8 : public OperationCount {
 protected:
  OperationCountFp8() : OperationCount(/*quantised=*/true) {}
};

TEST_F(OperationCount, OfAPromptAndOfOneToken) {
  pass(0, 130);
  expect_flop(0, 130);
  pass(130, 1);
  expect_flop(130, 1);
}

// bfloat16: two bytes for each activation in and out, and for each weight once.
TEST_F(OperationCount, Bfloat16Bytes) {
  const std::int64_t touched = count_touched(0, 100);
  const std::int64_t attention_parameters = kHidden * (2 * kQuery + 2 * kKeyValue);
  const std::int64_t projected = 4 * kHidden + 2 * kQuery + 2 * kKeyValue;  // in: x three times, attended; out
  EXPECT_EQ(cost("attention projections: gemm").bytes, 2 * kLayers * (attention_parameters + 100 * projected));
  EXPECT_EQ(cost("attention").bytes, 2 * kLayers * (2 * 100 * kQuery + 2 * 100 * kKeyValue));
  EXPECT_EQ(cost("experts: grouped_gemm").bytes,
            2 * touched * 3 * kHidden * kInner + 2 * kLayers * 100 * kTopK * (2 * kHidden + 3 * kInner));
  EXPECT_EQ(cost("router: gemm").bytes, kLayers * (4 * kHidden * kExperts + 100 * (2 * kHidden + 4 * kExperts)));
  EXPECT_EQ(cost("lm_head: gemm").bytes, 2 * kHidden * kVocabulary + 2 * kHidden + 4 * kVocabulary);
  EXPECT_EQ(cost("kv_write").bytes, 2 * 2 * kLayers * 2 * 100 * kKeyValue);
}

// One token touches its own experts only, and reads the cache of all before it.
TEST_F(OperationCountFp8, BytesOfOneToken) {
  pass(0, 100);
  EXPECT_EQ(count_touched(100, 1), kLayers * kTopK);
  expect_flop(100, 1);
  // 144 rows are two rows of blocks in each part, 192 columns two, 144 columns two.
  const std::int64_t gate_up = 2 * kInner * kHidden + 4 * (2 * 2) * 2, down = kHidden * kInner + 4 * 2 * 2;
  EXPECT_EQ(cost("experts: grouped_gemm").bytes,
            kLayers * kTopK * (gate_up + down) + 2 * kLayers * kTopK * (2 * kHidden + 3 * kInner));
  EXPECT_EQ(cost("attention").bytes, 2 * kLayers * (2 * kQuery + 2 * 101 * kKeyValue));
}

}  // namespace
}  // namespace m2::test
