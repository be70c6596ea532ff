// SPDX-License-Identifier: Apache-2.0
#include "train/data/train_data.hpp"

#include <gmock/gmock.h>

#include <map>
#include <set>

#include "io/temporary_folder.hpp"
#include "train/data/fixture.hpp"

namespace m2 {
namespace {

using test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TrainDataTest : public ::testing::Test {
 protected:
  TrainDataTest() {
    section_.file = folder_ / "t.jsonl";
    section_.sequence_length = 16;
  }

  // Documents of `lengths` tokens; the first token of each is its number.
  std::string write(const std::string& name, const std::vector<int>& lengths) {
    std::string text;
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      std::vector<int> ids(std::size_t(lengths[i]), 7);
      for (int t = 0; t < lengths[i]; ++t) ids[std::size_t(t)] = t == 0 ? int(i) : 1000 + t;
      text += nlohmann::json{{"token_ids", ids}}.dump() + "\n";
    }
    test::write_bytes(folder_ / name, text);
    return folder_ / name;
  }
  TrainData data() { return {section_, test::context()}; }

  // The documents of every sequence of an epoch.
  static std::vector<std::vector<SampleId>> epoch(TrainData& data, std::int64_t number) {
    std::vector<std::vector<SampleId>> sequences;
    DataPosition position{number, 0};
    for (; position.epoch == number; position = data.after(position)) {
      sequences.emplace_back();
      for (const Document& document : data.sequence(position)) sequences.back().push_back(document.id);
    }
    EXPECT_EQ(position, (DataPosition{number + 1, 0}));
    EXPECT_EQ(std::ssize(sequences), data.sequences_in_epoch(number));
    return sequences;
  }
  // How often each document of `file` comes in an epoch.
  static std::map<std::int64_t, int> times(TrainData& data, std::int64_t number, int file = 0) {
    std::map<std::int64_t, int> count;
    for (const auto& sequence : epoch(data, number)) {
      for (const SampleId& id : sequence) count[id.document] += id.file == file ? 1 : 0;
    }
    return count;
  }

  test::TemporaryFolder folder_;
  DataSection section_;
};

std::vector<int> lengths_of(int count) {
  std::vector<int> lengths;
  for (int i = 0; i < count; ++i) lengths.push_back(2 + (i * 5) % 13);
  return lengths;
}

TEST_F(TrainDataTest, OneDocumentASequenceInTheOrderOfTheFile) {
  write("t.jsonl", {3, 16, 2});
  section_.packing = section_.shuffle = false;
  TrainData data = this->data();
  for (const std::int64_t number : {0, 3}) {
    EXPECT_EQ(epoch(data, number), (std::vector<std::vector<SampleId>>{{{0, 0, 0}}, {{0, 1, 0}}, {{0, 2, 0}}}));
  }
  const std::vector<Document> sequence = data.sequence({0, 2});
  ASSERT_EQ(sequence.size(), 1u);
  EXPECT_THAT(sequence[0].tokens, ElementsAre(2, 1001));
  EXPECT_THAT(sequence[0].labels, ElementsAre(kNoLabel, 1001));
  EXPECT_EQ(sequence[0].line, 3);
  EXPECT_THAT(error_of([&] { data.sequence({0, 3}); }), HasSubstr("there is no sequence 3 in epoch 0, which has 3"));
}

TEST_F(TrainDataTest, PackedSequencesHoldWholeDocuments) {
  write("t.jsonl", lengths_of(200));
  TrainData data = this->data();
  EXPECT_EQ(times(data, 0).size(), 200u);
  for (std::int64_t s = 0; s < data.sequences_in_epoch(0); ++s) {
    std::size_t tokens = 0;
    for (const Document& document : data.sequence({0, s})) {
      tokens += document.tokens.size();
      EXPECT_EQ(document.labels[0], kNoLabel) << "no label at a joint";
    }
    EXPECT_LE(tokens, 16u);
  }
  section_.shuffle = false;
  TrainData ordered = this->data();
  std::int64_t next = 0;
  for (const auto& sequence : epoch(ordered, 0)) {
    for (const SampleId& id : sequence) EXPECT_EQ(id.document, next++) << "packing without shuffling keeps the order";
  }
}

TEST_F(TrainDataTest, ASequenceIsAFunctionOfSeedAndPosition) {
  write("t.jsonl", lengths_of(100));
  TrainData a = data(), b = data();
  const auto first = epoch(a, 0), second = epoch(a, 1);
  EXPECT_NE(first, second);
  EXPECT_EQ(epoch(b, 1), second) << "without having seen epoch 0";
  EXPECT_EQ(epoch(a, 0), first) << "back again";
  EXPECT_EQ(a.fingerprint(), b.fingerprint());
  section_.seed = 1;
  TrainData c = data();
  EXPECT_NE(epoch(c, 0), first);
  EXPECT_NE(c.fingerprint(), a.fingerprint());
  section_.seed = 0;
  auto lengths = lengths_of(100);
  lengths[50] += 1;
  write("t.jsonl", lengths);
  EXPECT_NE(data().fingerprint(), a.fingerprint());
}

TEST_F(TrainDataTest, WeightsDrawFilesMoreOrLessOften) {
  section_.files = {write("a.jsonl", std::vector<int>(10, 4)), write("b.jsonl", std::vector<int>(10, 4)),
                    write("c.jsonl", std::vector<int>(10, 4))};
  section_.weights = {1.0, 2.0, 0.3};
  TrainData data = this->data();
  std::map<std::int64_t, int> rare;
  for (std::int64_t number = 0; number < 10; ++number) {
    const auto once = times(data, number, 0), twice = times(data, number, 1);
    for (std::int64_t i = 0; i < 10; ++i) {
      EXPECT_EQ(once.at(i), 1);
      EXPECT_EQ(twice.at(i), 2);
    }
    int drawn = 0;
    for (const auto& [document, count] : times(data, number, 2)) {
      rare[document] += count;
      drawn += count;
    }
    EXPECT_EQ(drawn, 3);
  }
  for (const auto& [document, count] : rare) EXPECT_EQ(count, 3) << "ten epochs are three rounds";
  section_.weights = {1.0};
  EXPECT_THAT(error_of([&] { this->data(); }),
              HasSubstr("data.weights has 1 number, expected as many as there are files: 3"));
  section_.weights = {1.0, 0.0, 1.0};
  EXPECT_THAT(error_of([&] { this->data(); }), HasSubstr("expected numbers above 0"));
}

TEST_F(TrainDataTest, TooLongIsAnErrorOrCut) {
  write("t.jsonl", {3, 40, 5});
  section_.packing = section_.shuffle = false;
  EXPECT_THAT(error_of([&] { data(); }),
              HasSubstr("t.jsonl: the document of line 2 has 40 tokens, more than data.sequence_length, 16"));
  section_.too_long = TooLong::truncate;
  TrainData truncated = data();
  EXPECT_EQ(truncated.sequence({0, 1})[0].tokens.size(), 16u);
  EXPECT_THAT(truncated.summary(),
              HasSubstr("1 document longer than 16 tokens (too_long: truncate), 24 tokens left out"));
  section_.too_long = TooLong::drop;
  TrainData dropped = data();
  EXPECT_EQ(dropped.sequences_in_epoch(0), 2);
  EXPECT_THAT(dropped.summary(), HasSubstr("40 tokens left out"));
  write("t.jsonl", {40});
  EXPECT_THAT(error_of([&] { data(); }), HasSubstr("nothing is left to train on"));
}

TEST_F(TrainDataTest, SplittingTrainsEveryLabelOnce) {
  section_.packing = section_.shuffle = false;
  section_.too_long = TooLong::split;
  for (const int length : {17, 31, 32, 40, 46}) {
    write("t.jsonl", {length});
    TrainData data = this->data();
    std::vector<std::int32_t> labels;
    for (std::int64_t s = 0; s < data.sequences_in_epoch(0); ++s) {
      const Document piece = data.sequence({0, s}).at(0);
      EXPECT_LE(piece.tokens.size(), 16u);
      EXPECT_EQ(piece.labels[0], kNoLabel);
      for (std::size_t i = 1; i < piece.labels.size(); ++i) labels.push_back(piece.labels[i]);
    }
    std::vector<std::int32_t> expected;
    for (int t = 1; t < length; ++t) expected.push_back(1000 + t);
    EXPECT_EQ(labels, expected) << length;
  }
}

TEST_F(TrainDataTest, WhatIsHeldOutIsNeverTrained) {
  write("t.jsonl", lengths_of(1000));
  section_.holdout_fraction = 0.2;
  TrainData training = data(), held = training.holdout();
  std::set<std::int64_t> trained, validated;
  for (const auto& [document, count] : times(training, 5)) trained.insert(document);
  for (const auto& [document, count] : times(held, 0)) validated.insert(document);
  EXPECT_EQ(trained.size() + validated.size(), 1000u);
  for (const std::int64_t document : validated) EXPECT_FALSE(trained.contains(document));
  // 200 expected, standard deviation sqrt(1000 x 0.2 x 0.8) = 12.6; five of them.
  EXPECT_NEAR(double(validated.size()), 200.0, 63.0);
  EXPECT_THAT(training.summary(), HasSubstr(std::to_string(validated.size()) + " documents held out for validation"));
  section_.holdout_fraction = 0.0;
  EXPECT_THAT(error_of([&] { data().holdout(); }), HasSubstr("holds out no document"));
}

TEST_F(TrainDataTest, SamplesOfOneConversationAreHeldOutTogether) {
  std::string text;
  for (int i = 0; i < 200; ++i) {
    text += R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
 {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]})";
    std::erase(text, '\n');
    text += ' ';
  }
  for (std::size_t at = text.find("]} "); at != text.npos; at = text.find("]} ", at)) text[at + 2] = '\n';
  test::write_bytes(section_.file, text);
  section_.history_thinking = HistoryThinking::expand;
  section_.holdout_fraction = 0.5;
  section_.sequence_length = 256;
  TrainData training = data();
  const auto count = times(training, 0);
  EXPECT_GT(count.size(), 100u);
  for (const auto& [document, n] : count) EXPECT_TRUE(count.contains(document ^ 1)) << document;
}

TEST_F(TrainDataTest, TheSummaryCounts) {
  write("t.jsonl", {8, 8, 16, 8});
  section_.shuffle = false;
  EXPECT_EQ(data().summary(), section_.file +
                                  ": 4 documents of 4 lines, 40 tokens, 36 with loss\n"
                                  "3 sequences of at most 16 tokens in an epoch, 83.3 % full\n");
}

TEST(SampleIds, TheHashIsOfOrderAndIds) {
  const std::vector<SampleId> ids{{0, 1, 0}, {0, 2, 0}};
  EXPECT_EQ(sample_ids_hash(ids), sample_ids_hash(ids));
  EXPECT_NE(sample_ids_hash(ids), sample_ids_hash(std::vector<SampleId>{{0, 2, 0}, {0, 1, 0}}));
  EXPECT_NE(sample_ids_hash(ids), sample_ids_hash(std::vector<SampleId>{{1, 1, 0}, {0, 2, 0}}));
  EXPECT_NE(sample_ids_hash(ids), sample_ids_hash(std::vector<SampleId>{{0, 1, 15}, {0, 2, 0}}));
}

}  // namespace
}  // namespace m2
