// SPDX-License-Identifier: Apache-2.0
// A token's bits do not depend on what it is computed with: neighbours, padding, packing, chunks, cache, threads.
#include <gmock/gmock.h>

#include "model/fixture.hpp"

namespace m2::test {
namespace {

struct Case {
  const char* checkpoint;
  DType dtype;
  GemmProvider provider;
};

void PrintTo(const Case& of, std::ostream* out) { *out << of.checkpoint << " in " << name(of.dtype); }

class Invariance : public ::testing::TestWithParam<Case> {
 protected:
  const Fixture fixture{GetParam().checkpoint};
  MiniMaxM2ForCausalLM model = make_model(exec());
  const InputIds input = fixture.input_ids();
  const std::size_t width = model.config().vocab_size;

  void SetUp() override {
    const auto& [checkpoint, dtype, provider] = GetParam();
    const std::string_view refusal = gemm_refusal(resolve(provider), dtype, dtype);
    if (!refusal.empty()) GTEST_SKIP() << refusal;
  }

  MiniMaxM2ForCausalLM make_model(const ExecSpace& on) const {
    return fixture.model(GetParam().dtype, {.linear = GetParam().provider, .experts = GetParam().provider}, on);
  }

  std::vector<float> logits(const InputIds& ids, const ForwardOptions& options = {}) {
    return to_host(model.forward(ids, options).logits_BNV);
  }

  InputIds row(int b) const {
    const auto begin = input.ids.begin() + b * input.length;
    return {.num_sequences = 1, .length = input.length, .ids = {begin, begin + input.length}};
  }
};

INSTANTIATE_TEST_SUITE_P(Checkpoints, Invariance,
                         ::testing::Values(Case{"tiny-f32", DType::float32, GemmProvider::automatic},
                                           Case{"tiny-f32", DType::float32, GemmProvider::kokkos_kernels},
                                           Case{"tiny-f32", DType::float32, GemmProvider::onednn},
                                           Case{"tiny-bf16", DType::bfloat16, GemmProvider::automatic},
                                           Case{"tiny-bf16", DType::bfloat16, GemmProvider::onednn},
                                           Case{"tiny-bf16", DType::float32, GemmProvider::automatic},
                                           Case{"tiny-fp8", DType::bfloat16, GemmProvider::automatic},
                                           Case{"tiny-fp8", DType::float32, GemmProvider::automatic}),
                         [](const auto& parameter) {
                           std::string label = std::string(parameter.param.checkpoint) + "_as_" +
                                               std::string(name(parameter.param.dtype)) + "_" +
                                               std::string(name(parameter.param.provider));
                           std::ranges::replace(label, '-', '_');
                           return label;
                         });

TEST_P(Invariance, RowsAloneEqualRowsTogether) {
  std::vector<float> alone = logits(row(0));
  const std::vector<float> second = logits(row(1));
  alone.insert(alone.end(), second.begin(), second.end());
  EXPECT_TRUE(same_bits(logits(input), alone));
}

TEST_P(Invariance, PackedSequencesEqualOneByOne) {
  const std::vector<int> ends{0, 1, 6, 23, 24, 48};
  const InputIds packed{.num_sequences = 1, .length = int(input.ids.size()), .ids = input.ids};
  std::vector<float> one_by_one;
  for (std::size_t i = 0; i + 1 < ends.size(); ++i) {
    const auto part = logits({.num_sequences = 1,
                              .length = ends[i + 1] - ends[i],
                              .ids = {input.ids.begin() + ends[i], input.ids.begin() + ends[i + 1]}});
    one_by_one.insert(one_by_one.end(), part.begin(), part.end());
  }
  EXPECT_TRUE(same_bits(logits(packed, {.qkv_format = QkvFormat::thd, .cu_seqlens = ends}), one_by_one));
}

// The second row's real tokens end the padded row; its position_ids count them from 0.
TEST_P(Invariance, PaddedEqualsUnpadded) {
  const int pads = 5, real = input.length - pads;
  InputIds padded = input;
  ForwardOptions options;
  for (int b = 0; b < 2; ++b) {
    for (int s = 0; s < input.length; ++s) {
      const bool is_real = b == 0 ? s < real : s >= pads;
      options.attention_mask.push_back(is_real);
      options.position_ids.push_back(b == 0 ? s : std::max(0, s - pads));
    }
  }
  const auto actual = logits(padded, options);
  const auto first = logits({.num_sequences = 1, .length = real, .ids = {input.ids.begin(), input.ids.begin() + real}});
  const auto second =
      logits({.num_sequences = 1, .length = real, .ids = {input.ids.begin() + input.length + pads, input.ids.end()}});
  EXPECT_TRUE(same_bits(std::span(actual).subspan(0, real * width), first));
  EXPECT_TRUE(same_bits(std::span(actual).subspan((input.length + pads) * width), second));
}

TEST_P(Invariance, CachedChunksEqualOneForward) {
  const std::vector<float> whole = logits(row(0));
  for (const int chunk : {1, 2, 3, 7, 23}) {
    KVCache cache = model.make_cache(2, 100);
    cache.add_sequence();
    const int sequence = cache.add_sequence();
    std::vector<float> pieces;
    for (int begin = 0; begin < input.length; begin += chunk) {
      const int end = std::min(begin + chunk, input.length);
      const auto piece = logits(
          {.num_sequences = 1, .length = end - begin, .ids = {input.ids.begin() + begin, input.ids.begin() + end}},
          {.cache = &cache, .cache_sequences = {sequence}});
      pieces.insert(pieces.end(), piece.begin(), piece.end());
    }
    EXPECT_EQ(cache.length(sequence), input.length);
    EXPECT_TRUE(same_bits(pieces, whole)) << "chunks of " << chunk;
  }
}

TEST_P(Invariance, LaterTokensChangeNothingBefore) {
  const std::vector<float> before = logits(row(0));
  InputIds changed = row(0);
  const int first_changed = 15;
  for (int s = first_changed; s < changed.length; ++s) changed.ids[s] = (changed.ids[s] + 7) % 300 + 3;
  const std::vector<float> after = logits(changed);
  EXPECT_TRUE(same_bits(std::span(after).subspan(0, first_changed * width),
                        std::span(before).subspan(0, first_changed * width)));
  EXPECT_FALSE(
      same_bits(std::span(after).subspan(first_changed * width), std::span(before).subspan(first_changed * width)));
}

// Longer than one page of the cache and than one pass inside forward().
TEST_P(Invariance, LongSequencesAreChunkedInside) {
  if (model.config().max_position_embeddings < 300) GTEST_SKIP() << "the model has too few positions";
  InputIds many{.num_sequences = 9, .length = 300, .ids = {}};
  for (int i = 0; i < many.num_sequences * many.length; ++i) many.ids.push_back(3 + (i * 37 + i / 300) % 380);
  const auto together = logits(many, {.logits_to_keep = 3});
  for (const int b : {0, 6, 8}) {
    const InputIds alone{
        .num_sequences = 1, .length = 300, .ids = {many.ids.begin() + b * 300, many.ids.begin() + (b + 1) * 300}};
    const auto whole = logits(alone);
    EXPECT_TRUE(same_bits(std::span(together).subspan(b * 3 * width, 3 * width), std::span(whole).subspan(297 * width)))
        << "row " << b;
  }
}

TEST_P(Invariance, OneThreadEqualsTwo) {
  auto one = make_model(with_threads(1)), two = make_model(with_threads(2));
  EXPECT_TRUE(same_bits(to_host(one.forward(input).logits_BNV), to_host(two.forward(input).logits_BNV)));
}

}  // namespace
}  // namespace m2::test
