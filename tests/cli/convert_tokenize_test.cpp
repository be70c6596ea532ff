// SPDX-License-Identifier: Apache-2.0
// m2-convert tokenize through the command line, with the demo's tokenizer.
#include <gmock/gmock.h>

#include "cli/run_program.hpp"
#include "io/temporary_folder.hpp"

namespace m2::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kDemo = M2_SOURCE_DIR "/inputs/demo/checkpoint";

class ConvertTokenize : public ::testing::Test {
 protected:
  ProgramResult run(std::vector<std::string> options = {}) {
    options.insert(options.begin(), {"tokenize", folder_ / "t.jsonl", folder_ / "t.h5", "--model", kDemo});
    return run_program("m2-convert", options, folder_.path());
  }

  TemporaryFolder folder_;
};

TEST_F(ConvertTokenize, WritesTokensAndSaysHowMany) {
  write_bytes(
      folder_ / "t.jsonl",
      "{\"token_ids\": [1, 2, 3]}\n{\"text\": 5}\n{\"q\": \"The little\", \"text\": \"The little handbook\"}\n");
  const ProgramResult bad = run();
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_THAT(bad.err, HasSubstr("t.jsonl:2: 'text' is of type number, expected text"));
  EXPECT_THAT(folder_.names(), ElementsAre("t.jsonl")) << "nothing is left behind";
  const ProgramResult done = run({"--on-bad-line", "skip"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_THAT(done.out, StartsWith(folder_ / "t.h5: 2 documents of 3 lines, "));
  EXPECT_THAT(done.out, HasSubstr("; 1 bad line left out, in "));
  EXPECT_THAT(done.err, HasSubstr("warning: left out: "));
  EXPECT_THAT(folder_.names(), ElementsAre("t.h5", "t.jsonl"));
}

TEST_F(ConvertTokenize, OptionsDecideWhatCarriesLoss) {
  write_bytes(folder_ / "t.jsonl",
              R"({"chat": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},)"
              R"({"role": "user", "content": "c"}, {"role": "assistant", "content": "<think>t</think>d"}]})");
  const auto labels = [&](const std::vector<std::string>& options) {
    const ProgramResult result = run(options);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    const std::size_t end = result.out.find(" with loss");
    const std::size_t begin = result.out.rfind(' ', end - 1) + 1;
    return std::stoi(result.out.substr(begin, end - begin));
  };
  const int all = labels({"--columns", "messages=chat"});
  EXPECT_EQ(labels({"--columns", "messages=chat", "--train-on", "last"}), all - 2) << "b and its end of turn";
  EXPECT_LT(labels({"--columns", "messages=chat", "--train-on-thinking", "false"}), all);
  EXPECT_EQ(labels({"--columns", "messages=chat", "--history-thinking", "expand"}), all);
}

TEST_F(ConvertTokenize, ItsInputStays) {
  write_bytes(folder_ / "t.jsonl", "{\"text\": \"a\"}\n");
  const ProgramResult result = run_program(
      "m2-convert", {"tokenize", folder_ / "t.jsonl", folder_ / "t.jsonl", "--model", kDemo}, folder_.path());
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("OUT.h5"));
  EXPECT_EQ(read_bytes(folder_ / "t.jsonl"), "{\"text\": \"a\"}\n");
}

}  // namespace
}  // namespace m2::test
