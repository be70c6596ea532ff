// SPDX-License-Identifier: Apache-2.0
#include "jobs/output_lines.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include "core/error.hpp"
#include "infer/fixture.hpp"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

class OutputLinesTest : public ::testing::Test {
 protected:
  OutputLinesTest() { std::remove(path_.c_str()); }

  Json line(std::size_t index) const { return {{"id", inputs_[index].id}, {"token_ids", inputs_[index].tokens}}; }
  OutputSection resumed() const {
    return {.file = path_, .resume = true, .stream = StreamText::never, .expert_load = {}};
  }
  std::string error(const std::string& content) {
    write_text_file_atomically(path_, content);
    try {
      OutputLines(resumed(), inputs_, "token_ids");
    } catch (const Error& error) {
      EXPECT_EQ(read_text_file(path_), content) << "a refused file stays as it is";
      return error.what();
    }
    return "nothing was thrown";
  }

  std::vector<Prompt> inputs_ = test::prompts_of({2, 1});
  std::string path_ = ::testing::TempDir() + "m2_output_lines_test." + std::to_string(::getpid()) + ".jsonl";
};

TEST_F(OutputLinesTest, GoesOnBehindTheWholeLines) {
  {
    OutputLines lines({.file = path_, .resume = false, .stream = StreamText::never, .expert_load = {}}, inputs_,
                      "token_ids");
    lines.write(line(0).dump());
  }
  const std::string first = read_text_file(path_);
  write_text_file_atomically(path_, first + R"({"id": 1, "tok)");
  std::vector<Json> seen;
  OutputLines lines(resumed(), inputs_, "token_ids", [&](const nlohmann::json& value) { seen.emplace_back(value); });
  EXPECT_EQ(lines.num_lines(), 1);
  EXPECT_EQ(seen, std::vector<Json>{line(0)});
  lines.write(line(1).dump());
  lines.finish();
  EXPECT_EQ(read_text_file(path_), first + line(1).dump() + "\n");
}

TEST_F(OutputLinesTest, RefusesLinesOfAnotherInput) {
  constexpr const char* kAdvice = "; resume with the input it was made from, or without output.resume";
  EXPECT_EQ(error(R"({"id": "x", "token_ids": [7, 12]})"
                  "\n"),
            path_ + ": line 1 has the id \"x\", the input (test) has 0" + kAdvice);
  EXPECT_EQ(error(R"({"id": 0, "token_ids": [8, 12]})"
                  "\n"),
            path_ + ": line 1: 'token_ids' differs from the tokens of the input (test)" + kAdvice);
  EXPECT_EQ(error(line(0).dump() + "\n" + line(1).dump() + "\n" + line(1).dump() + "\n"),
            path_ + ": has more lines than the input's 2" + kAdvice);
}

}  // namespace
}  // namespace m2
