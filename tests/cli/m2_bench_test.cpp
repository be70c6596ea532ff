// SPDX-License-Identifier: Apache-2.0
// The program m2 measuring itself.
#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>
#include <regex>

#include "cli/shell.hpp"
#include "io/temporary_folder.hpp"

namespace m2::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

// The numbers of tests/data/tiny-bf16/config.json.
constexpr std::int64_t kHidden = 64, kLayers = 3, kQuery = 4 * 32, kKeyValue = 2 * 32, kExperts = 8, kInner = 96,
                       kTopK = 3, kVocabulary = 384;

std::vector<std::string> keys(const Json& object) {
  std::vector<std::string> names;
  for (const auto& [name, value] : object.items()) names.push_back(name);
  return names;
}

// Every number below `value` is finite and none is negative.
void expect_sound_numbers(const Json& value, const std::string& path) {
  if (value.is_number()) {
    EXPECT_TRUE(std::isfinite(value.get<double>())) << path;
    EXPECT_GE(value.get<double>(), 0.0) << path;
  }
  if (!value.is_structured()) return;
  for (const auto& [name, inner] : value.items()) expect_sound_numbers(inner, path + "/" + name);
}

void expect_spread(const Json& spread) {
  EXPECT_GT(spread["min"].get<double>(), 0.0);
  EXPECT_LE(spread["min"], spread["median"]);
  EXPECT_LE(spread["median"], spread["max"]);
}

// The FLOP of the operations `label` of a phase.
std::int64_t flop_of(const Json& phase, const std::string& place, const std::string& operation) {
  for (const Json& entry : phase["operations"]) {
    if (entry["place"] == place && entry["operation"] == operation) return entry["flop"];
  }
  ADD_FAILURE() << "no operation '" << place << ": " << operation << "'";
  return 0;
}

// `tokens` in all, which saw `seen` positions together; `sampled` of them got logits.
void expect_flop(const Json& phase, std::int64_t tokens, std::int64_t seen, std::int64_t sampled) {
  EXPECT_EQ(flop_of(phase, "attention projections", "gemm"),
            2 * tokens * kLayers * kHidden * (2 * kQuery + 2 * kKeyValue));
  EXPECT_EQ(flop_of(phase, "router", "gemm"), 2 * tokens * kLayers * kHidden * kExperts);
  EXPECT_EQ(flop_of(phase, "experts", "grouped_gemm"), 2 * tokens * kLayers * kTopK * 3 * kHidden * kInner);
  EXPECT_EQ(flop_of(phase, "", "attention"), 4 * kLayers * kQuery * seen);
  EXPECT_EQ(flop_of(phase, "lm_head", "gemm"), 2 * sampled * kHidden * kVocabulary);
}

// Balanced tags, from the first to the last: what a browser needs to show all of it.
void expect_balanced(const std::string& html) {
  std::vector<std::string> open;
  const std::regex tag("<(/?)([a-z][a-z0-9]*)((?:[^>\"]|\"[^\"]*\")*?)(/?)>");
  for (auto match = std::sregex_iterator(html.begin(), html.end(), tag); match != std::sregex_iterator(); ++match) {
    const std::string name = (*match)[2];
    if (name == "meta" || (*match)[4].length() > 0) continue;
    if ((*match)[1].length() == 0) {
      open.push_back(name);
      continue;
    }
    ASSERT_FALSE(open.empty()) << name;
    ASSERT_EQ(open.back(), name);
    open.pop_back();
  }
  EXPECT_TRUE(open.empty()) << open.back();
}

class M2Bench : public ::testing::Test {
 protected:
  // A small deck for tiny-bf16 with `more` on the command line.
  Outcome bench(const std::string& more) const {
    write_bytes(folder_ / "deck.yaml",
                "job: bench\nmodel:\n  config: " M2_TEST_DATA
                "/tiny-bf16/config.json\n  dtype: bfloat16\n"
                "bench: {prompt_tokens: 20, generated_tokens: 4, batch: 2, context: 30, repeats: 3}\n"
                "output: {file: " +
                    folder_ / "out.json" + ", report: " + folder_ / "out.html" + "}\n");
    return run(m2_program() + " " + folder_ / "deck.yaml" + " " + more);
  }
  Json result() const { return Json::parse(read_bytes(folder_ / "out.json")); }

  TemporaryFolder folder_;
};

TEST_F(M2Bench, WritesWhatItMeasured) {
  const Outcome outcome = bench("");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json json = result();
  EXPECT_THAT(keys(json), ElementsAre("m2_version", "date", "machine", "settings", "ceilings", "ceilings_after",
                                      "rank_ceilings", "peak", "model", "phases", "operations"));
  expect_sound_numbers(json, "");
  EXPECT_GT(json["ceilings"]["read_bytes_per_second"].get<double>(), 1e8);
  EXPECT_GT(json["ceilings"]["float32_flop_per_second"].get<double>(), 1e8);
  EXPECT_EQ(json["peak"], json["ceilings"]["bfloat16_flop_per_second"].is_null() ? "float32" : "bfloat16");
  EXPECT_EQ(json["machine"]["ranks"], 1);
  EXPECT_EQ(json["settings"]["context"], 30);
  EXPECT_EQ(json["model"]["dtype"], "bfloat16");
  const Json& memory = json["model"]["memory"];
  EXPECT_GE(memory["peak_resident_bytes"], memory["resident_bytes"]);
  EXPECT_GT(memory["resident_bytes"], memory["weight_bytes"]);

  ASSERT_EQ(json["phases"].size(), 2u);
  for (const Json& phase : json["phases"]) {
    EXPECT_EQ(phase["seconds"]["all"].size(), 3u);
    expect_spread(phase["seconds"]);
    expect_spread(phase["tokens_per_second"]);
    const double median = phase["seconds"]["median"];
    EXPECT_NEAR(phase["tokens_per_second"]["median"].get<double>() * median, phase["tokens"].get<double>(), 1e-6);
    double inside = phase["seconds_between_operations"];
    std::int64_t flop = 0, bytes = 0;
    for (const Json& entry : phase["operations"]) {
      inside += entry["seconds"].get<double>();
      flop += entry["flop"].get<std::int64_t>();
      bytes += entry["bytes"].get<std::int64_t>();
    }
    EXPECT_NEAR(inside, phase["timed_seconds"].get<double>(), 1e-9);
    EXPECT_EQ(phase["flop"], flop);
    EXPECT_EQ(phase["bytes"], bytes);
  }
}

TEST_F(M2Bench, CountsTheFlopOfTheModel) {
  ASSERT_EQ(bench("output.report=null").code, 0);
  const Json json = result();
  EXPECT_EQ(json["phases"][0]["name"], "prefill");
  EXPECT_EQ(json["phases"][0]["tokens"], 20);
  expect_flop(json["phases"][0], 20, 20 * 21 / 2, 1);
  EXPECT_EQ(json["phases"][1]["name"], "decode");
  EXPECT_EQ(json["phases"][1]["tokens"], 8);
  expect_flop(json["phases"][1], 8, 2 * (31 + 32 + 33 + 34), 8);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out.html"));
}

TEST_F(M2Bench, TheTablesAndTheReportShowIt) {
  const Outcome outcome = bench("");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (const std::string text :
       {"ceilings  read ", "memory    resident ", "prefill: 20 tokens ", "decode: 2 x 4 tokens after 30 ",
        "experts: grouped_gemm ", "between operations ", "time to first token of a prompt of 20: "}) {
    EXPECT_THAT(outcome.out, HasSubstr(text));
  }
  const std::string html = read_bytes(folder_ / "out.html");
  expect_balanced(html);
  for (const std::string text : {"<!DOCTYPE html>", "FLOP per byte", "GFLOP/s", "experts: grouped_gemm", "</html>"}) {
    EXPECT_THAT(html, HasSubstr(text));
  }
  EXPECT_THAT(html, ::testing::Not(HasSubstr("http"))) << "the page needs no other";
  EXPECT_THAT(html, ::testing::Not(HasSubstr("nan")));
}

TEST_F(M2Bench, RandomFp8WeightsFollowTheConfiguration) {
  const std::string source = read_bytes(M2_TEST_DATA "/tiny-fp8/config.json");
  write_bytes(folder_ / "fp8.json", source);
  const Outcome outcome = bench("model.config=" + folder_ / "fp8.json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(result()["model"]["weight_dtype"], "float8_e4m3fn");
}

TEST_F(M2Bench, RefusesWhatItCannotDo) {
  const auto expect_refused = [&](const std::string& more, const std::string& message) {
    const Outcome outcome = bench(more);
    EXPECT_EQ(outcome.code, 2) << more;
    EXPECT_THAT(outcome.err, HasSubstr(message));
    EXPECT_EQ(outcome.out, "");
    EXPECT_FALSE(std::filesystem::exists(folder_ / "out.json"));
  };
  expect_refused("bench.prompt_token=3", "unknown key 'bench.prompt_token'; did you mean 'bench.prompt_tokens'?");
  expect_refused("bench.repeats=0", "bench.repeats: expected a whole number from 1 to ");
  expect_refused("batch.max_tokens=3", "key 'batch.max_tokens' belongs to job 'generate', this deck's job is 'bench'");
  expect_refused("model.config=null", "expected either 'model.checkpoint' or 'model.config', found neither");
  expect_refused("bench.context=509", "bench: 513 positions, the model has 512; lower bench.prompt_tokens, or ");
}

TEST_F(M2Bench, ChecksWithoutMeasuring) {
  const Outcome outcome = bench("--check");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("job         bench: a prompt of 20 tokens; 4 tokens for 2 sequences at once after "
                                     "30; 3 repeats\n"));
  EXPECT_THAT(outcome.out, HasSubstr("\ntotal "));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out.json"));
}

TEST_F(M2Bench, AFolderThatIsMissingIsSaidBeforeTheWork) {
  const Outcome outcome = bench("output.report=/nowhere/out.html");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("/nowhere/out.html"));
  EXPECT_THAT(outcome.err, ::testing::Not(HasSubstr("measuring")));
}

}  // namespace
}  // namespace m2::test
