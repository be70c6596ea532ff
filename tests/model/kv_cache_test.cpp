// SPDX-License-Identifier: Apache-2.0
#include "model/kv_cache.hpp"

#include <gmock/gmock.h>

#include "core/error.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

MiniMaxM2Config config() {
  MiniMaxM2Config out;
  out.num_hidden_layers = 2;
  return out;
}

TEST(KVCache, SequencesShareThePool) {
  KVCache cache(exec(), config(), DType::bfloat16, /*num_pages=*/4, /*max_sequences=*/3, /*max_length=*/4 * kKvPage);
  const int a = cache.add_sequence(), b = cache.add_sequence();
  EXPECT_TRUE(cache.reserve(a, 2 * kKvPage));
  EXPECT_TRUE(cache.reserve(a, kKvPage + 1));  // has them already
  EXPECT_EQ(cache.num_free_pages(), 2);
  EXPECT_FALSE(cache.reserve(b, 2 * kKvPage + 1));
  EXPECT_EQ(cache.num_free_pages(), 2) << "a refusal takes nothing";
  EXPECT_TRUE(cache.reserve(b, 2 * kKvPage));
  cache.set_length(a, 100);
  cache.remove_sequence(a);
  EXPECT_EQ(cache.num_free_pages(), 2);
  const int c = cache.add_sequence();
  EXPECT_EQ(cache.length(c), 0);
  EXPECT_TRUE(cache.reserve(c, 1));
}

TEST(KVCache, NoPageBelongsToTwoSequences) {
  KVCache cache(exec(), config(), DType::float32, 6, 3, 3 * kKvPage);
  std::vector<int> used;
  for (const int pages : {1, 3, 2}) {
    const int sequence = cache.add_sequence();
    ASSERT_TRUE(cache.reserve(sequence, pages * kKvPage));
    const auto table = to_host_as_is(cache.page_table(exec()));
    for (int i = 0; i < pages; ++i) used.push_back(table[sequence * 3 + i]);
  }
  EXPECT_THAT(used, ::testing::UnorderedElementsAre(0, 1, 2, 3, 4, 5));
}

TEST(KVCache, MisuseIsRefused) {
  KVCache cache(exec(), config(), DType::bfloat16, 2, 1, 70);
  const int sequence = cache.add_sequence();
  EXPECT_THAT([&] { cache.add_sequence(); }, ThrowsMessage<Error>(HasSubstr("all 1 sequences are in use")));
  EXPECT_THAT([&] { cache.reserve(sequence, 71); },
              ThrowsMessage<Error>(HasSubstr("a sequence of 71 positions does not fit, at most 70 do")));
  EXPECT_THAT([&] { cache.reserve(1, 1); }, ThrowsMessage<Error>(HasSubstr("sequence 1 does not exist")));
  EXPECT_THAT([&] { cache.set_length(sequence, 1); }, ThrowsMessage<Error>(HasSubstr("1 positions were not reserved")));
  EXPECT_THAT([&] { cache.layer<float>(0); }, ThrowsMessage<Error>(HasSubstr("it holds bfloat16, not float32")));
  EXPECT_THAT([&] { cache.layer<Bf16>(2); }, ThrowsMessage<Error>(HasSubstr("layer 2 does not exist")));
}

// 62 layers x 2 x 8 heads x 128 values x 2 bytes a position, as published.
TEST(KVCache, BytesOfTheReleasedModel) {
  EXPECT_EQ(KVCache::page_bytes(MiniMaxM2Config{}, DType::bfloat16), 253'952 * kKvPage);
}

}  // namespace
}  // namespace m2::test
