// SPDX-License-Identifier: Apache-2.0
#include "parallel/placement_file.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdio>

#include "core/error.hpp"
#include "io/file.hpp"

namespace m2 {
namespace {

using ::testing::ElementsAre;
using ::testing::MatchesRegex;

template <class Action>
std::string usage_error_of(const Action& action) {
  try {
    action();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

class PlacementFile : public ::testing::Test {
 protected:
  ~PlacementFile() override { std::remove(path_.c_str()); }

  std::string error_of(const std::string& text) {
    write_text_file_atomically(path_, text);
    return usage_error_of([&] { read_placement(path_, 2, 3, 2); });
  }

  std::string path_ = ::testing::TempDir() + "m2_placement." + std::to_string(::getpid()) + ".json";
};

TEST(ExpertPlacement, SplitsEvenly) {
  const ExpertPlacement placement = ExpertPlacement::even(2, 8, 3);
  EXPECT_THAT(placement.experts_of(1, 0), ElementsAre(0, 1));
  EXPECT_THAT(placement.experts_of(1, 1), ElementsAre(2, 3, 4));
  EXPECT_THAT(placement.experts_of(1, 2), ElementsAre(5, 6, 7));
  EXPECT_EQ(placement.most_experts(0), 2);
  EXPECT_EQ(placement.most_experts(2), 3);
  for (int ranks = 1; ranks <= 256; ++ranks) {
    const ExpertPlacement of_m2 = ExpertPlacement::even(1, 256, ranks);
    for (int rank = 0; rank < ranks; ++rank) {
      const int count = int(of_m2.experts_of(0, rank).size());
      ASSERT_TRUE(count == 256 / ranks || count == 256 / ranks + 1) << ranks << " ranks";
    }
  }
  EXPECT_EQ(usage_error_of([] { ExpertPlacement::even(1, 8, 9); }),
            "the 8 experts of a layer cannot be split over 9 ranks; expected 1 to 8");
}

TEST(BalanceExperts, TheBusiestRankHasLittleMoreThanTheAverage) {
  ExpertLoad load(3, std::vector<std::int64_t>(16));
  for (int layer = 0; layer < 3; ++layer) {
    for (int e = 0; e < 16; ++e) load[layer][e] = 10 + 1000 / (1 + (e + 5 * layer) % 16);
  }
  const ExpertPlacement in_order = ExpertPlacement::even(3, 16, 4), balanced = balance_experts(load, 4, 0);
  EXPECT_GT(imbalance(in_order, load), 1.9);
  // The least there is: the busiest expert (1010) with the three idlest (72, 76, 81), of 885 on average.
  EXPECT_LT(imbalance(balanced, load), 1.41);
  EXPECT_LT(imbalance(balance_experts(load, 4, 4), load), 1.1) << "second copies of busy experts";
  for (int layer = 0; layer < 3; ++layer) {
    for (int rank = 0; rank < 4; ++rank) EXPECT_EQ(balanced.experts_of(layer, rank).size(), 4u);
    const auto replicated = balance_experts(load, 4, 4);
    std::size_t copies = 0;
    for (const auto& ranks : replicated.ranks_of(layer)) copies += ranks.size();
    EXPECT_EQ(copies, 20u);
  }
}

TEST(BalanceExperts, NoRankIsLeftWithoutAnExpert) {
  const ExpertLoad load{{1000000, 0, 0, 0}};
  for (const int replicas : {0, 1, 8, 100}) {
    const ExpertPlacement placement = balance_experts(load, 4, replicas);
    for (int rank = 0; rank < 4; ++rank) EXPECT_FALSE(placement.experts_of(0, rank).empty());
  }
  EXPECT_EQ(usage_error_of([&] { balance_experts(load, 5, 0); }),
            "the 4 experts of a layer cannot be split over 5 ranks; expected 1 to 4");
}

TEST_F(PlacementFile, ReadsWhatItWrites) {
  const ExpertPlacement placement({{{0}, {1, 0}, {1}}, {{1}, {0}, {0}}}, 2, 3, 2, "test");
  write_text_file_atomically(path_, placement_text(placement, 2));
  const ExpertPlacement again = read_placement(path_, 2, 3, 2);
  for (int layer = 0; layer < 2; ++layer) EXPECT_EQ(again.ranks_of(layer), placement.ranks_of(layer));
  write_expert_load(path_, {{1, 2}, {3, 4}});
  EXPECT_EQ(read_expert_load(path_), (ExpertLoad{{1, 2}, {3, 4}}));
}

TEST_F(PlacementFile, SaysWhatIsWrong) {
  const std::string file = "'" + path_ + "'";
  EXPECT_THAT(error_of("{"), MatchesRegex(file + ": not valid JSON: at byte 2: syntax error .*; expected the output of "
                                                 "m2 --make-placement"));
  EXPECT_EQ(error_of(R"({"ranks": 2, "ranks": 2})"),
            file + ": key 'ranks' is given twice; expected the output of m2 --make-placement");
  EXPECT_EQ(error_of("[]"), file + ": there is no list 'layers'; expected the output of m2 --make-placement");
  EXPECT_EQ(error_of(R"({"layers": []})"), file + ": 'ranks' is missing; expected the output of m2 --make-placement");
  EXPECT_EQ(error_of(R"({"ranks": 4, "layers": []})"),
            file + ": made for 4 ranks, and parallel.expert is 2; make one for 2");
  EXPECT_EQ(error_of(R"({"ranks": 2, "layers": 7})"),
            file + ": there is no list 'layers'; expected the output of m2 --make-placement");
  EXPECT_EQ(error_of(R"({"ranks": 2, "layers": [7]})"),
            file + ": layer 0 is not a list of lists of ranks; expected the output of m2 --make-placement");
  EXPECT_EQ(error_of(R"({"ranks": 2, "layers": [[[0], [1], [1]]]})"), file + ": found 1 layers, the model has 2");
  EXPECT_EQ(error_of(R"({"ranks": 2, "layers": [[[0], [1]], [[0], [1]]]})"),
            file + ": layer 0 has 2 experts, the model 3");
  EXPECT_EQ(error_of(R"({"ranks": 2, "layers": [[[0], [1], []], [[0], [1], [1]]]})"),
            file + ": layer 0, expert 2: no rank holds it; expected a list of ranks from 0 to 1");
  EXPECT_EQ(error_of(R"({"ranks": 2, "layers": [[[0], [1], [2]], [[0], [1], [1]]]})"),
            file +
                ": layer 0, expert 2: found 2, which is not a rank from 0 to 1; expected the output of m2 "
                "--make-placement");
  EXPECT_EQ(error_of(R"({"ranks": 2, "layers": [[[0], [1], [1, 1]], [[0], [1], [1]]]})"),
            file + ": layer 0, expert 2: rank 1 is listed twice");
  EXPECT_EQ(error_of(R"({"ranks": 2, "layers": [[[0], [1], [1]], [[0], [0], [0]]]})"),
            file + ": layer 1 gives rank 1 no expert; expected at least one");
}

// nlohmann::json converts each of these to a rank or to a number of tokens.
TEST_F(PlacementFile, RefusesNumbersThatAConversionWouldChange) {
  const std::string file = "'" + path_ + "'";
  for (const char* rank : {"4294967296", "0.7", "1.0", "true", "-1", "18446744073709551616", "\"1\"", "null", "[1]"}) {
    EXPECT_EQ(error_of(fmt::format(R"({{"ranks": 2, "layers": [[[0], [1], [1]], [[0], [1, {}], [1]]]}})", rank)),
              fmt::format("{}: layer 1, expert 1: found {}, which is not a rank from 0 to 1; expected the output of m2 "
                          "--make-placement",
                          file, rank[0] == '1' && rank[1] == '8' ? "1.8446744073709552e+19" : rank));
  }
  EXPECT_EQ(error_of(R"({"ranks": 2, "layers": [[[0], true, [1]], []]})"),
            file +
                ": layer 0, expert 1: found true, which is not a list of ranks; expected the output of m2 "
                "--make-placement");
  EXPECT_EQ(error_of(R"({"ranks": 2.0, "layers": []})"),
            file + ": made for 2.0 ranks, and parallel.expert is 2; make one for 2");
}

TEST_F(PlacementFile, SaysWhatIsWrongWithALoad) {
  const std::string file = "'" + path_ + "'";
  const std::string form = "; expected the file that a job writes with output.expert_load";
  const std::pair<const char*, const char*> cases[] = {
      {"{}", "there is no list 'tokens'"},
      {R"({"tokens": []})", "the list 'tokens' is empty"},
      {R"({"tokens": [7]})", "layer 0 is not a list of numbers"},
      {R"({"tokens": [[]]})", "layer 0 is not a list of numbers"},
      {R"({"tokens": [[1, 2], [3]]})", "layer 1 has 1 experts, layer 0 has 2"},
      {R"({"tokens": [[1, 2], [3, -1]]})",
       "layer 1, expert 1: found -1, which is not a number of tokens from 0 to 281474976710656"},
      {R"({"tokens": [[1.5]]})",
       "layer 0, expert 0: found 1.5, which is not a number of tokens from 0 to 281474976710656"},
      {R"({"tokens": [[1, true]]})",
       "layer 0, expert 1: found true, which is not a number of tokens from 0 to 281474976710656"},
      {R"({"tokens": [[9223372036854775808]]})",
       "layer 0, expert 0: found 9223372036854775808, which is not a number of tokens from 0 to 281474976710656"},
  };
  for (const auto& [text, message] : cases) {
    write_text_file_atomically(path_, text);
    EXPECT_EQ(usage_error_of([&] { read_expert_load(path_); }), file + ": " + message + form);
  }
}

}  // namespace
}  // namespace m2
