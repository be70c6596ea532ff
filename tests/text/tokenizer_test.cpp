// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer.hpp"

#include <gmock/gmock.h>

#include <sstream>
#include <thread>

#include "core/error.hpp"
#include "text/tiny_tokenizer.hpp"

namespace m2 {
namespace {

using Ids = std::vector<std::int32_t>;
using test::load;
using test::tiny_tokenizer_json;

Tokenizer reference_tokenizer() {
  return Tokenizer::from_json(test::read_test_data("tokenizer/tokenizer.json"), "tokenizer.json");
}

template <class Call>
std::string error_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

// Texts, ids and decoded texts were made with the `tokenizers` library (transformers 5.12.1).
TEST(Tokenizer, AgreesWithTheReferenceBothWays) {
  const Tokenizer tokenizer = reference_tokenizer();
  std::istringstream lines(test::read_test_data("tokenizer/encode.jsonl"));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const auto sample = nlohmann::json::parse(line);
    const auto ids = sample["ids"].get<Ids>();
    EXPECT_EQ(tokenizer.encode(sample["text"].get<std::string>()), ids) << sample["text"];
    EXPECT_EQ(tokenizer.decode(ids), sample["decoded"].get<std::string>());
  }
  EXPECT_EQ(count, 561);
}

TEST(Tokenizer, TokensOfTheReference) {
  const Tokenizer tokenizer = reference_tokenizer();
  EXPECT_EQ(tokenizer.num_tokens(), 3054);
  const auto think = tokenizer.find("<think>"), end_of_turn = tokenizer.find("[e~[");
  ASSERT_TRUE(think && end_of_turn);
  EXPECT_FALSE(tokenizer.is_special(*think)) << "added, but survives skip_special";
  EXPECT_TRUE(tokenizer.is_special(*end_of_turn));
  EXPECT_EQ(tokenizer.decode(Ids{*end_of_turn, *think}, /*skip_special=*/true), "<think>");
  EXPECT_EQ(tokenizer.encode("[e~[<think>"), (Ids{*end_of_turn, *think}));
}

TEST(Tokenizer, SaysWhereTokensBegin) {
  const Tokenizer tokenizer = reference_tokenizer();
  std::istringstream lines(test::read_test_data("tokenizer/encode.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    const auto text = nlohmann::json::parse(line)["text"].get<std::string>();
    std::vector<std::size_t> begins;
    const Ids ids = tokenizer.encode(text, &begins);
    ASSERT_EQ(begins.size(), ids.size());
    std::size_t end = 0;  // the released pattern leaves nothing out
    for (std::size_t i = 0; i < ids.size(); ++i) {
      EXPECT_EQ(begins[i], end) << text;
      end = begins[i] + tokenizer.token_bytes(ids[i]).size();
      EXPECT_EQ(text.substr(begins[i], end - begins[i]), tokenizer.token_bytes(ids[i]));
    }
    EXPECT_EQ(end, text.size());
  }
  std::vector<std::size_t> begins{7};
  load(tiny_tokenizer_json()).encode("a<think>hell", &begins);
  EXPECT_EQ(begins, (std::vector<std::size_t>{0, 1, 8}));
}

TEST(Tokenizer, MergesAndPieces) {
  const Tokenizer tokenizer = load(tiny_tokenizer_json());
  EXPECT_EQ(tokenizer.encode(""), Ids{});
  EXPECT_EQ(tokenizer.encode("hello world"), (Ids{258, 'o', 259, 'o', 'r', 'l', 'd'}));
  EXPECT_EQ(tokenizer.encode("é"), (Ids{0xC3, 0xA9}));
  EXPECT_EQ(tokenizer.decode(Ids{258, 'o', 0xC3, 0xA9, 0xC3}), "helloé\uFFFD");
  EXPECT_EQ(tokenizer.decode(Ids{}), "");
}

TEST(Tokenizer, IdsWithAndWithoutToken) {
  const Tokenizer tokenizer = load(tiny_tokenizer_json());
  EXPECT_EQ(tokenizer.num_tokens(), 302);
  EXPECT_TRUE(tokenizer.has_token(0));
  EXPECT_TRUE(tokenizer.has_token(259));
  for (const std::int32_t id : {-1, 260, 299, 302}) {
    EXPECT_FALSE(tokenizer.has_token(id)) << id;
    EXPECT_FALSE(tokenizer.is_special(id)) << id;
  }
  EXPECT_EQ(tokenizer.find("Ġw"), 259);
  EXPECT_EQ(tokenizer.find(" w"), std::nullopt);
  EXPECT_EQ(tokenizer.token_bytes(259), " w");
  EXPECT_EQ(tokenizer.token_bytes(301), "]~b]");
  EXPECT_EQ(error_of([&] { tokenizer.decode(Ids{'a', 302}); }),
            "token id 302 has no token: the tokenizer has ids from 0 to 301");
  EXPECT_EQ(error_of([&] { tokenizer.token_bytes(299); }),
            "token id 299 has no token: the tokenizer has ids from 0 to 301 with gaps");
}

TEST(Tokenizer, AddedTokensCutTheText) {
  const Tokenizer tokenizer = load(tiny_tokenizer_json());
  EXPECT_EQ(tokenizer.encode("he<think>ll]~b]]~b"), (Ids{256, 300, 257, 301, ']', '~', 'b'}));
  EXPECT_EQ(tokenizer.decode(Ids{301, 256, 300}), "]~b]he<think>");
  EXPECT_EQ(tokenizer.decode(Ids{301, 256, 300}, /*skip_special=*/true), "he<think>");
}

// A normalized token is searched for only after all others, even if it begins further left.
TEST(Tokenizer, NormalizedTokensComeSecond) {
  auto json = tiny_tokenizer_json();
  json["added_tokens"].push_back({{"id", 302}, {"content", "x<think>"}, {"normalized", true}, {"special", false}});
  EXPECT_EQ(load(json).encode("x<think>"), (Ids{'x', 300}));
  json["added_tokens"][0]["normalized"] = true;
  EXPECT_EQ(load(json).encode("x<think>"), (Ids{302}));
}

// An added token's text is what is written, except where every character is in the byte alphabet: then it is the bytes
// these stand for, as in the reference's decoder.
TEST(Tokenizer, TextOfAnAddedToken) {
  auto json = tiny_tokenizer_json();
  json["added_tokens"].push_back({{"id", 302}, {"content", "start of <é>"}, {"special", true}});
  json["added_tokens"].push_back({{"id", 303}, {"content", "<Ã©>"}, {"special", true}});
  const Tokenizer tokenizer = load(json);
  EXPECT_EQ(tokenizer.token_bytes(302), "start of <é>");
  EXPECT_EQ(tokenizer.token_bytes(303), "<é>");
}

TEST(Tokenizer, IgnoreMergesTakesWholePieces) {
  auto json = tiny_tokenizer_json();
  json["model"]["vocab"]["zzz"] = 260;
  EXPECT_EQ(load(json).encode("zzz"), (Ids{'z', 'z', 'z'})) << "no merge leads there";
  json["model"]["ignore_merges"] = true;
  EXPECT_EQ(load(json).encode("zzz"), Ids{260});
  EXPECT_EQ(load(json).encode("zzzz hell"), (Ids{'z', 'z', 'z', 'z', ' ', 258}));
}

TEST(Tokenizer, SplitBehaviours) {
  auto json = tiny_tokenizer_json();
  auto& split = json["pre_tokenizer"]["pretokenizers"][0];
  split["pattern"]["Regex"] = "e";
  EXPECT_EQ(load(json).encode("hell"), Ids{'e'}) << "Removed, inverted: only the matches stay";
  split["behavior"] = "Isolated";
  EXPECT_EQ(load(json).encode("hell"), (Ids{'h', 'e', 257})) << "no merge across a cut";
}

TEST(Tokenizer, RefusesWhatIsNotUtf8) {
  const Tokenizer tokenizer = load(tiny_tokenizer_json());
  EXPECT_EQ(error_of([&] { tokenizer.encode("ab\xFFz"); }),
            "the text is not UTF-8: byte 2 of 4 (0xff) does not begin a code point; convert the text to UTF-8");
}

// Each text holds one long run or no space; work that grows with the square of the length would not end in this test's
// time limit.
TEST(Tokenizer, LongRunsTakeLinearTime) {
  constexpr std::size_t kSizeBytes = 1 << 20;
  const Tokenizer tokenizer = reference_tokenizer();
  std::vector<std::string> texts;
  for (const std::string unit : {"a", " ", "A", "中", "\n", "1", "!", " \n", "aB", "\u0301", "thequickbrownfox"}) {
    texts.emplace_back();
    while (texts.back().size() < kSizeBytes) texts.back() += unit;
  }
  texts.push_back(std::string(kSizeBytes, ' ') + "x");
  for (const std::string& text : texts) EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text) << text.substr(0, 20);
}

// More different pieces than the cache holds, encoded twice.
TEST(Tokenizer, AFullCacheChangesNothing) {
  const Tokenizer tokenizer = load(tiny_tokenizer_json());
  std::string text;
  for (int i = 0; i < 70000; ++i) text += " hell" + std::to_string(i);
  const Ids ids = tokenizer.encode(text);
  EXPECT_EQ(tokenizer.encode(text), ids);
  EXPECT_EQ(tokenizer.decode(ids), text);
}

TEST(Tokenizer, SeveralThreadsMayEncode) {
  const Tokenizer tokenizer = reference_tokenizer();
  const std::string text = "It reads a mixture of experts and lets it speak.";
  const Ids expected = tokenizer.encode(text);
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (int& count : wrong) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) count += tokenizer.encode(text) != expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, ::testing::Each(0));
}

// The released vocabulary's size: 200,000 tokens and 199,744 merges. Every token is a pair of earlier ones.
TEST(Tokenizer, LoadsTheReleasedSize) {
  auto json = tiny_tokenizer_json();
  auto& model = json["model"];
  for (const char* token : {"he", "ll", "hell", "Ġw"}) model["vocab"].erase(token);
  model["merges"] = nlohmann::json::array();
  std::vector<std::string> tokens;
  for (char c = 'a'; c <= 'z'; ++c) tokens.emplace_back(1, c);
  json["added_tokens"].clear();
  for (std::int32_t id = 256; id < 200000; ++id) {
    const std::string left = tokens[(id - 256) / 26];
    const std::string right(1, char('a' + (id - 256) % 26));
    tokens.push_back(left + right);
    model["vocab"][tokens.back()] = id;
    model["merges"].push_back({left, right});
  }
  const Tokenizer tokenizer = load(json);
  EXPECT_EQ(tokenizer.num_tokens(), 200000);
  EXPECT_EQ(tokenizer.token_bytes(199999), tokens.back());
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("thequickbrownfox")), "thequickbrownfox");
}

}  // namespace
}  // namespace m2
