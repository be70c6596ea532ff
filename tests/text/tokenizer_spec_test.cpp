// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer_spec.hpp"

#include <gmock/gmock.h>

#include <fstream>

#include "core/error.hpp"
#include "text/tiny_tokenizer.hpp"

namespace m2 {
namespace {

using nlohmann::json;
using test::load;
using test::load_error;
using test::tiny_tokenizer_json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Refusal {
  const char* pointer;  // which value of the tiny tokenizer.json is replaced
  const char* value;    // by what
  const char* message;
};

void PrintTo(const Refusal& refusal, std::ostream* out) { *out << refusal.message; }

class TokenizerSpecRefusal : public ::testing::TestWithParam<Refusal> {};

TEST_P(TokenizerSpecRefusal, NamesPlaceFoundAndSupported) {
  json tokenizer = tiny_tokenizer_json();
  tokenizer[json::json_pointer(GetParam().pointer)] = json::parse(GetParam().value);
  EXPECT_EQ(load_error(tokenizer), std::string("tiny.json: ") + GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    All, TokenizerSpecRefusal,
    ::testing::Values(
        Refusal{"/normalizer", R"({"type":"NFC"})", "normalizer is an object of 1 keys; supported is null"},
        Refusal{"/model/type", R"("WordPiece")", R"(model.type is "WordPiece"; supported is "BPE")"},
        Refusal{"/model", "null", "model is null; supported is an object"},
        Refusal{"/model/dropout", "0.1", "model.dropout is 0.1; supported is null or 0"},
        Refusal{"/model/byte_fallback", "true", "model.byte_fallback is true; supported is false"},
        Refusal{"/model/ignore_merges", "1", "model.ignore_merges is 1; supported is true or false"},
        Refusal{"/model/end_of_word_suffix", R"("</w>")",
                R"(model.end_of_word_suffix is "</w>"; supported is null or "")"},
        Refusal{"/model/vocab", "[]", "model.vocab is an array of 0 elements; supported is an object of token: id"},
        Refusal{"/model/vocab/he", "-1", "model.vocab.he is -1; supported is an integer from 0 to 4194303"},
        Refusal{"/model/vocab/he", "4194304", "model.vocab.he is 4194304; supported is an integer from 0 to 4194303"},
        Refusal{"/model/vocab/he", "65", "model.vocab gives 'he' the id 65, which is that of 'A'"},
        Refusal{"/model/vocab/xyz", "1.5", "model.vocab.xyz is 1.5; supported is an integer from 0 to 4194303"},
        Refusal{"/model/vocab", R"({"a": 0})",
                "model.vocab lacks 'Ā', the token of the byte 0x00; a byte-level BPE has all 256"},
        Refusal{"/model/merges/1", R"("l l l")",
                R"(model.merges[1] is "l l l"; supported is "left right" or ["left", "right"])"},
        Refusal{"/model/merges/1", R"(["l"])",
                R"(model.merges[1] is an array of 1 elements; supported is "left right" or ["left", "right"])"},
        Refusal{"/model/merges/1", R"(["l", "x"])", "model.merges[1] needs the token 'lx', which model.vocab lacks"},
        Refusal{"/pre_tokenizer", "null", "pre_tokenizer is null; supported is an object"},
        Refusal{"/pre_tokenizer/pretokenizers", "[]",
                "pre_tokenizer.pretokenizers is an array of 0 elements; supported is [Split, ByteLevel]"},
        Refusal{"/pre_tokenizer/pretokenizers/0/type", R"("Digits")",
                R"(pre_tokenizer.pretokenizers[0].type is "Digits"; supported is "Split")"},
        Refusal{"/pre_tokenizer/pretokenizers/0/pattern", R"({"String": "x"})",
                "pre_tokenizer.pretokenizers[0].pattern.Regex is null; supported is a string"},
        Refusal{
            "/pre_tokenizer/pretokenizers/0/invert", "false",
            R"(pre_tokenizer.pretokenizers[0].behavior is "Removed"; supported is "Isolated", or "Removed" with invert true)"},
        Refusal{"/pre_tokenizer/pretokenizers/1/add_prefix_space", "true",
                "pre_tokenizer.pretokenizers[1].add_prefix_space is true; supported is false"},
        Refusal{"/pre_tokenizer/pretokenizers/1/use_regex", "null",
                "pre_tokenizer.pretokenizers[1].use_regex is null; supported is false"},
        Refusal{"/post_processor", R"({"type":"TemplateProcessing"})",
                R"(post_processor.type is "TemplateProcessing"; supported is "ByteLevel")"},
        Refusal{"/decoder", R"({"type":"WordPiece"})", R"(decoder.type is "WordPiece"; supported is "ByteLevel")"},
        Refusal{"/added_tokens/1/lstrip", "true", "added_tokens[1].lstrip is true; supported is false"},
        Refusal{"/added_tokens/0/single_word", "true", "added_tokens[0].single_word is true; supported is false"},
        Refusal{"/added_tokens/0/content", R"("")",
                R"(added_tokens[0].content is ""; supported is a string of 1 to 1024 bytes)"},
        Refusal{"/added_tokens/0/id", "65", "added_tokens gives '<think>' the id 65, which is that of 'A'"},
        Refusal{"/added_tokens/0/content", R"("he")", "added_tokens gives 'he' the id 300, but it already has 256"}));

TEST(TokenizerSpec, WhatIsNotATokenizerIsRefused) {
  const auto message = [](std::string_view text) -> std::string {
    try {
      parse_tokenizer_spec(text, "x.json");
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  };
  EXPECT_THAT(message("{\"model\": "), StartsWith("x.json: not a tokenizer.json: "));
  EXPECT_THAT(message(""), HasSubstr("attempting to parse an empty input"));
  EXPECT_EQ(message("[]"), "x.json: not a tokenizer.json: the document is an array of 0 elements, not an object");
}

TEST(TokenizerSpec, BothFormsOfMerges) {
  json tokenizer = tiny_tokenizer_json();
  const TokenizerSpec pairs = parse_tokenizer_spec(tokenizer.dump(), "x");
  tokenizer["model"]["merges"] = {"h e", "l l", "he ll", "Ġ w"};
  const TokenizerSpec lines = parse_tokenizer_spec(tokenizer.dump(), "x");
  ASSERT_EQ(pairs.merges.size(), 4u);
  ASSERT_EQ(lines.merges.size(), 4u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(pairs.merges[i].left, lines.merges[i].left);
    EXPECT_EQ(pairs.merges[i].right, lines.merges[i].right);
  }
}

// What fuzzing begins with must reach the encoder.
TEST(TokenizerSpec, TheSeedOfTheFuzzerIsATokenizer) {
  std::ifstream file(M2_SOURCE_DIR "/tests/fuzz/seeds/tokenizer.json", std::ios::binary);
  EXPECT_EQ(load(json::parse(file)).encode("hell <think>").size(), 3u);
}

}  // namespace
}  // namespace m2
