// SPDX-License-Identifier: Apache-2.0
// The program m2 measuring itself on several ranks: each has sequences of its own, and what they do is added up.
#include <gmock/gmock.h>

#include "cli/ranks.hpp"
#include "io/temporary_folder.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

class M2BenchRanks : public ::testing::Test {
 protected:
  M2BenchRanks() {
    write_bytes(folder_ / "deck.yaml", "job: bench\nmodel: {config: " M2_TEST_DATA
                                       "/tiny-bf16/config.json}\n"
                                       "bench: {prompt_tokens: 20, generated_tokens: 4, context: 30, repeats: 2}\n");
    command_ = m2_program() + " " + folder_ / "deck.yaml" + " output.file=" + folder_ / "out.json";
  }

  Json measured(const std::string& command) const {
    const Outcome outcome = run(command);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return Json::parse(read_bytes(folder_ / "out.json"));
  }

  TemporaryFolder folder_;
  std::string command_;
};

TEST_F(M2BenchRanks, AddsUpTheRanks) {
  const Json one = measured(command_), three = measured(on_ranks(3, command_));
  EXPECT_EQ(three["machine"]["ranks"], 3);
  ASSERT_EQ(three["phases"].size(), 2u);
  for (int phase : {0, 1}) {
    EXPECT_EQ(three["phases"][phase]["tokens"], 3 * one["phases"][phase]["tokens"].get<int>());
    // The routed rows are other ones, as many: experts and all else count the same FLOP for the same number of tokens,
    // but for the bookkeeping of the dispatchers, which is integers.
    EXPECT_EQ(three["phases"][phase]["flop"], 3 * one["phases"][phase]["flop"].get<std::int64_t>());
  }
  EXPECT_GT(three["ceilings"]["read_bytes_per_second"], three["rank_ceilings"]["read_bytes_per_second"]);
}

TEST_F(M2BenchRanks, OneRankSpeaks) {
  const Outcome outcome = run(on_ranks(2, command_));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(occurrences(outcome.out, "ceilings  "), 1);
  EXPECT_EQ(occurrences(outcome.err, "m2: measuring prefill"), 1);
}

TEST_F(M2BenchRanks, SingleOperationsAreForOneProcess) {
  const Outcome outcome = run(on_ranks(2, command_ + " bench.operations=true"));
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("bench.operations: measures one process, and there are several ranks"));
}

}  // namespace
}  // namespace m2::test
