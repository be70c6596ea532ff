// SPDX-License-Identifier: Apache-2.0
// Texts that are no deck: broken, hostile or clever YAML. Each gives one UsageError.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "config/deck.hpp"
#include "core/error.hpp"

namespace m2 {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string message_of(const std::string& text) {
  try {
    parse_deck(text, "deck.yaml");
  } catch (const UsageError& e) {
    return e.what();
  }
  return "accepted";
}

TEST(DeckText, ARootThatIsNoMapIsRefused) {
  const std::string expected = "expected sections such as 'model:' with 'key: value' lines; --print-deck shows one";
  EXPECT_EQ(message_of(""), "deck.yaml: found nothing, " + expected);
  EXPECT_EQ(message_of("# only a comment\n"), "deck.yaml: found nothing, " + expected);
  EXPECT_EQ(message_of("- a\n- b\n"), "deck.yaml: found a list, " + expected);
  EXPECT_EQ(message_of("hello"), "deck.yaml: found 'hello', " + expected);
}

TEST(DeckText, KeysGivenTwiceAreRefusedWithBothLines) {
  EXPECT_EQ(message_of("job: generate\nbatch:\n  max_tokens: 1\n  max_tokens: 2\n"),
            "deck.yaml:4: key 'batch.max_tokens' is given twice, first in line 3");
  EXPECT_EQ(message_of("job: generate\njob: score\n"), "deck.yaml:2: key 'job' is given twice, first in line 1");
  EXPECT_EQ(message_of("batch: {max_tokens: 1}\nbatch: {max_sequences: 2}\n"),
            "deck.yaml:2: key 'batch' is given twice, first in line 1");
}

TEST(DeckText, WhatDecksDoNotUseIsRefused) {
  EXPECT_EQ(message_of("job: generate\n---\njob: score\n"), "deck.yaml:2: a second document begins here; expected one");
  EXPECT_EQ(message_of("job: &a generate\n"),
            "deck.yaml:1: anchors (&) and aliases (*) are not used here; write the value");
  EXPECT_EQ(message_of("job: !!int 3\n"), "deck.yaml:1: tags are not used here, found 'tag:yaml.org,2002:int'");
  EXPECT_EQ(message_of("? [a, b]\n: c\n"), "deck.yaml:1: expected a key, found a list");
  EXPECT_EQ(message_of("<<: {job: generate}\n"),
            "deck.yaml: key 'job' is missing, expected one of generate, score, bench, train");
}

TEST(DeckText, ALaughBombIsRefusedAtItsFirstAnchor) {
  std::string bomb = "a: &a [x, x, x, x]\n";
  for (char name = 'b'; name <= 'k'; ++name) {
    bomb += fmt::format("{0}: &{0} [*{1}, *{1}, *{1}, *{1}, *{1}, *{1}, *{1}, *{1}]\n", name, char(name - 1));
  }
  EXPECT_EQ(message_of(bomb), "deck.yaml:1: anchors (&) and aliases (*) are not used here; write the value");
}

TEST(DeckText, DeepNestingIsRefusedBeforeTheStackEnds) {
  const std::string deeper = "deck.yaml:1: nested deeper than 4 levels";
  EXPECT_EQ(message_of(std::string(100000, '[')), deeper);
  EXPECT_EQ(message_of(std::string(100000, '{')), deeper);
  std::string dashes, questions, braces;
  for (int i = 0; i < 20000; ++i) {
    dashes += "- ";
    questions += "? ";
    braces += "{a: ";
  }
  EXPECT_EQ(message_of(dashes), deeper);
  EXPECT_EQ(message_of(questions), deeper);
  EXPECT_EQ(message_of(braces), deeper);
}

TEST(DeckText, BrokenTextIsRefusedWithItsLine) {
  EXPECT_THAT(message_of("job: generate\nbatch: {max_tokens: 1\n"), StartsWith("deck.yaml:"));
  EXPECT_THAT(message_of("job: generate\nbatch:\n\tmax_tokens: 1\n"), StartsWith("deck.yaml:3: not valid YAML: "));
  EXPECT_THAT(message_of("job: *missing\n"), StartsWith("deck.yaml:1: not valid YAML: "));
}

// yaml-cpp alone would take the rest of the deck for the text.
TEST(DeckText, AnOpenQuoteIsRefused) {
  for (const char* quote : {"'", "\""}) {
    const std::string start =
        std::string("job: generate\nmodel: {checkpoint: m}\nprompts:\n  text: ") + quote + "Hello";
    for (const char* rest : {"", "\n", "\noutput:\n  file: x\n", "\n\n", " \n "}) {
      EXPECT_THAT(message_of(start + rest), HasSubstr("not valid YAML: illegal EOF in scalar")) << start << rest;
    }
    EXPECT_EQ(message_of(start + quote), "accepted");
  }
}

TEST(DeckText, BlockTextKeepsItsLines) {
  const std::string start = "job: generate\nmodel: {checkpoint: m}\nprompts:\n  text: ";
  const auto text_of = [&](const std::string& rest) { return parse_deck(start + rest, "deck.yaml").prompts.text; };
  EXPECT_EQ(text_of("|\n    a\n      b\n"), "a\n  b\n");
  EXPECT_EQ(text_of("|-\n    a\n    b\n"), "a\nb");
  EXPECT_EQ(text_of("|+\n    a\n\n"), "a\n\n");
  EXPECT_EQ(text_of("a # b\n"), "a");
  EXPECT_EQ(text_of("null is a word"), "null is a word");
  EXPECT_EQ(text_of("'null'"), "null");
  EXPECT_EQ(text_of("12"), "12");
}

TEST(DeckText, WhatIsNoTextIsRefused) {
  EXPECT_EQ(message_of(std::string("job: generate\n\0x", 16)), "deck.yaml:2: found byte 0x00; a deck is a text file");
  EXPECT_EQ(message_of("\x89HDF\r\n\x1a\n"), "deck.yaml:2: found byte 0x1a; a deck is a text file");
  EXPECT_EQ(message_of("job: gener\xffte\n"), "deck.yaml: not UTF-8; a deck is a text file in UTF-8");
  EXPECT_EQ(message_of(std::string((256 << 10) + 1, ' ')), "deck.yaml: 262145 bytes; a deck has at most 262144");
}

TEST(DeckText, ALongOrForeignWordIsCutInTheMessage) {
  EXPECT_EQ(message_of(fmt::format("job: {:x<100000}\n", "")),
            fmt::format("deck.yaml:1: job: expected one of generate, score, bench, train, found '{:x<60}...'", ""));
  std::string umlauts = "x";
  for (int i = 0; i < 40; ++i) umlauts += "ü";
  EXPECT_EQ(message_of("job: " + umlauts), "deck.yaml:1: job: expected one of generate, score, bench, train, found '" +
                                               umlauts.substr(0, 59) + "...'");
  EXPECT_EQ(message_of("job: |\n  a\n  b\n"),
            "deck.yaml:1: job: expected one of generate, score, bench, train, found the text 'a...'");
}

}  // namespace
}  // namespace m2
