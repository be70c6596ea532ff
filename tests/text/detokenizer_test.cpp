// SPDX-License-Identifier: Apache-2.0
#include "text/detokenizer.hpp"

#include <gmock/gmock.h>

#include <random>

#include "core/error.hpp"
#include "text/tiny_tokenizer.hpp"
#include "text/utf8.hpp"

namespace m2 {
namespace {

using test::load;
using test::tiny_tokenizer_json;

TEST(StreamingDetokenizer, KeepsBackHalfACodePoint) {
  const Tokenizer tokenizer = load(tiny_tokenizer_json());
  StreamingDetokenizer stream(tokenizer);
  EXPECT_EQ(stream.push('a'), "a");
  EXPECT_EQ(stream.push(0xE4), "");
  EXPECT_EQ(stream.push(0xB8), "");
  EXPECT_EQ(stream.push(0xAD), "中");
  EXPECT_EQ(stream.push(258), "hell");
  EXPECT_EQ(stream.finish(), "");
}

TEST(StreamingDetokenizer, ReplacesWhatCannotBecomeACodePointAtOnce) {
  const Tokenizer tokenizer = load(tiny_tokenizer_json());
  StreamingDetokenizer stream(tokenizer);
  EXPECT_EQ(stream.push(0xFF), "\uFFFD");
  EXPECT_EQ(stream.push(0xE4), "");
  EXPECT_EQ(stream.push('x'), "\uFFFDx");
  EXPECT_EQ(stream.push(0xF0), "");
  EXPECT_EQ(stream.push(0x9F), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
  EXPECT_EQ(stream.finish(), "") << "ready for the next sequence";
  EXPECT_EQ(stream.push('y'), "y");
}

TEST(StreamingDetokenizer, LeavesOutSpecialTokensOnRequest) {
  const Tokenizer tokenizer = load(tiny_tokenizer_json());
  StreamingDetokenizer all(tokenizer), plain(tokenizer, /*skip_special=*/true);
  EXPECT_EQ(all.push(301), "]~b]");
  EXPECT_EQ(plain.push(301), "");
  EXPECT_EQ(plain.push(300), "<think>") << "added, but not special";
  EXPECT_THROW(plain.push(299), Error);
}

// Half of the ids are single bytes, so that broken code points of every kind turn up.
TEST(StreamingDetokenizer, AllPartsTogetherAreDecode) {
  const Tokenizer tokenizer = Tokenizer::from_json(test::read_test_data("tokenizer/tokenizer.json"), "tokenizer.json");
  std::vector<std::int32_t> byte_ids;
  for (std::int32_t id = 0; id < tokenizer.num_tokens(); ++id) {
    if (tokenizer.token_bytes(id).size() == 1) byte_ids.push_back(id);
  }
  ASSERT_EQ(byte_ids.size(), 256u);
  std::mt19937 random(5);
  for (int round = 0; round < 2000; ++round) {
    const bool skip_special = round % 2 == 1;
    StreamingDetokenizer stream(tokenizer, skip_special);
    std::vector<std::int32_t> ids(random() % 40);
    std::string text;
    for (std::int32_t& id : ids) {
      id = random() % 2 == 0 ? byte_ids[random() % 256] : std::int32_t(random() % tokenizer.num_tokens());
      const std::string part = stream.push(id);
      ASSERT_EQ(find_invalid_utf8(part), std::nullopt);
      text += part;
    }
    text += stream.finish();
    ASSERT_EQ(text, tokenizer.decode(ids, skip_special));
  }
}

}  // namespace
}  // namespace m2
