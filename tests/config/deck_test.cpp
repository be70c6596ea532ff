// SPDX-License-Identifier: Apache-2.0
#include "config/deck.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "config/parse_text.hpp"
#include "core/error.hpp"

namespace m2 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kSmallest = "job: generate\nmodel: {checkpoint: m.h5}\nprompts: {text: Hello}\n";

Deck smallest() {
  Deck deck;
  deck.model.checkpoint = "m.h5";
  deck.prompts.text = "Hello";
  return deck;
}

TEST(Deck, WhatIsNotGivenHasItsDefault) { EXPECT_EQ(parse(kSmallest), smallest()); }

TEST(Deck, EveryKeyOfGenerateIsRead) {
  Deck expected;
  expected.model = {"dir/with space", std::nullopt, ComputeDType::float32};
  expected.prompts.file = "p.jsonl";
  expected.sampling = {12, 0.5, 7, 0.9, 0.1, 1.1, 9223372036854775807, {"a", "12", "\n"}, {1, 2}, true, true};
  expected.batch = {64, 4};
  expected.memory.limit_gib = 1.5;
  expected.output = {"out.jsonl", true, StreamText::automatic, 30.0, "load.json"};
  expected.parallel = {4, "placement.json", CombineMode::reduced, Switch::on, 64};
  expected.io = {Switch::off, 8};
  expected.backend = {GemmProvider::onednn,
                      GemmProvider::kokkos_kernels,
                      RmsNormOrder::cast_first,
                      Precision::bfloat16,
                      Precision::bfloat16,
                      DispatcherBackend::local,
                      true,
                      0.5f};
  expected.moe_overrides = {{"route_scale", "2.5"}, {"n_activated_experts", "4"}};
  EXPECT_EQ(parse(R"(
job: generate
model: {checkpoint: dir/with space, dtype: float32}
prompts: {file: p.jsonl, text: null}
sampling:
  max_new_tokens: 12
  temperature: 0.5
  top_k: 7
  top_p: 0.9
  min_p: 0.1
  repetition_penalty: 1.1
  seed: 9223372036854775807
  stop: [a, "12", "\n"]
  stop_token_ids: [1, 2]
  ignore_eos: true
  logprobs: true
batch: {max_tokens: 64, max_sequences: 4}
memory: {limit_gib: 1.5}
output: {file: out.jsonl, resume: true, grace_seconds: 30, expert_load: load.json}
parallel: {expert: 4, placement: placement.json, combine: reduced, overlap: on, tokens_per_exchange: 64}
io: {shared_reads: off, read_mib: 8}
backend:
  linear: onednn
  experts: kokkos_kernels
  rms_norm: cast_first
  rope_tables: bfloat16
  gate_precision: bfloat16
  dispatcher: local
  fake_balanced_gate: true
  fake_gate_noise: 0.5
moe: {route_scale: 2.5, n_activated_experts: 4}
)"),
            expected);
}

TEST(Deck, ScoreHasItsOwnKeys) {
  Deck expected;
  expected.job = Job::score;
  expected.model.checkpoint = "m.h5";
  expected.data.file = "d.jsonl";
  EXPECT_EQ(parse("job: score\nmodel: {checkpoint: m.h5}\ndata: {file: d.jsonl}\n"), expected);
  EXPECT_EQ(message_of("job: score\nmodel: {checkpoint: m.h5}\ndata: {file: d.jsonl}\nsampling: {seed: 1}\n"),
            "deck.yaml:4: key 'sampling.seed' belongs to job 'generate', this deck's job is 'score'");
}

TEST(Deck, OverridesReplaceWhatTheFileSays) {
  Deck expected = smallest();
  expected.prompts = {"p.jsonl", std::nullopt};
  expected.sampling.stop = {"a", "b"};
  expected.sampling.temperature = 0.0;
  expected.batch.max_tokens = 8;
  expected.output.file = "key: [value";  // text is taken as it stands
  expected.moe_overrides = {{"route_scale", "3"}};
  EXPECT_EQ(parse(std::string(kSmallest) + "batch: {max_tokens: 7}\nmoe: {route_scale: 2}\n",
                  {"prompts.text=null", "prompts.file=p.jsonl", "sampling.stop=[a, b]", "sampling.temperature=0",
                   "batch.max_tokens=9", "batch.max_tokens=8", "output.file=key: [value", "moe.route_scale=3"}),
            expected);
  EXPECT_EQ(parse("model: {checkpoint: m.h5}\nprompts:\n", {"job=generate", "prompts.text=Hello"}), smallest());
}

TEST(Deck, WrongOverridesNameTheCommandLine) {
  const std::pair<const char*, const char*> cases[] = {
      {"sampling.temprature=1",
       "command line: unknown key 'sampling.temprature'; did you mean 'sampling.temperature'?"},
      {"batch.max_tokens=many",
       "command line: batch.max_tokens: expected a whole number from 1 to 1048576, found 'many'"},
      {"batch.max_tokens=", "command line: batch.max_tokens: expected a whole number from 1 to 1048576, found nothing"},
      {"batch.max_tokens", "command line: found 'batch.max_tokens', expected section.key=value"},
      {"=3", "command line: found '=3', expected section.key=value"},
      {"batch=3", "command line: 'batch' is a section, expected batch.key=value"},
      {"bacth=3", "command line: unknown key 'bacth'; did you mean 'batch'?"},
      {"job=trian", "command line: job: expected one of generate, score, bench, train, found 'trian'"},
      {"moe.route_scale=fast",
       "command line: moe.route_scale: MoEConfig: key 'route_scale': found 'fast', expected a number"},
      {"model.checkpoint=", "command line: model.checkpoint: expected a text that is not empty, found ''"},
      {"sampling.stop=[", "command line:1: not valid YAML: end of sequence flow not found"},
  };
  for (const auto& [text, message] : cases) EXPECT_EQ(message_of(kSmallest, {text}), message);
}

struct BadLine {
  const char* line;  // appended to kSmallest as line 4
  const char* message;
};

TEST(Deck, WrongValuesNameFileLineKeyAndWhatIsExpected) {
  const BadLine cases[] = {
      {"sampling: {temprature: 1}", "unknown key 'sampling.temprature'; did you mean 'sampling.temperature'?"},
      {"smapling: {seed: 1}", "unknown key 'smapling.seed'; did you mean 'sampling.seed'?"},
      {"colour: red", "unknown key 'colour'"},
      {"io: {alignment: 4194304}",
       "there is no key 'io.alignment': the files that a job writes are not HDF5; 'm2-convert import --alignment' sets "
       "it for a checkpoint (docs/io.md)"},
      {"io: {collective_buffering: true}",
       "there is no key 'io.collective_buffering': files are not read through MPI-IO; io.shared_reads makes each byte "
       "be read once, io.read_mib sets the size (docs/io.md)"},
      {"bacth:", "unknown key 'bacth'; did you mean 'batch'?"},
      {"mo:", "unknown key 'mo'; did you mean 'moe'?"},
      {"moe: {route_scal: 1}", "moe.route_scal: MoEConfig: unknown key 'route_scal'; did you mean 'route_scale'?"},
      {"moe: {route_scale: [1]}", "moe.route_scale: expected one value, found a list"},
      {"moe: {norm_topk_prob: 2}",
       "moe.norm_topk_prob: MoEConfig: key 'norm_topk_prob': found '2', expected true or false"},
      {"batch: 3", "batch: expected 'key: value' lines, found '3'"},
      {"batch: {max_tokens: many}", "batch.max_tokens: expected a whole number from 1 to 1048576, found 'many'"},
      {"batch: {max_tokens: 0}", "batch.max_tokens: expected a whole number from 1 to 1048576, found '0'"},
      {"batch: {max_tokens: 1.5}", "batch.max_tokens: expected a whole number from 1 to 1048576, found '1.5'"},
      {"batch: {max_tokens: 0x10}", "batch.max_tokens: expected a whole number from 1 to 1048576, found '0x10'"},
      {"batch: {max_tokens: '8'}", "batch.max_tokens: expected a whole number from 1 to 1048576, found the text '8'"},
      {"batch: {max_tokens: [8]}", "batch.max_tokens: expected a whole number from 1 to 1048576, found a list"},
      {"batch: {max_tokens: {a: 8}}", "batch.max_tokens: expected a whole number from 1 to 1048576, found a section"},
      {"batch: {max_tokens: }", "batch.max_tokens: expected a whole number from 1 to 1048576, found nothing"},
      {"sampling: {seed: 9223372036854775808}",
       "sampling.seed: expected a whole number from 0 to 9223372036854775807, found '9223372036854775808'"},
      {"sampling: {seed: -1}", "sampling.seed: expected a whole number from 0 to 9223372036854775807, found '-1'"},
      {"sampling: {temperature: .inf}", "sampling.temperature: expected a number from 0 to 100, found '.inf'"},
      {"sampling: {temperature: nan}", "sampling.temperature: expected a number from 0 to 100, found 'nan'"},
      {"sampling: {temperature: 1e999}", "sampling.temperature: expected a number from 0 to 100, found '1e999'"},
      {"sampling: {top_p: 1.01}", "sampling.top_p: expected a number from 0 to 1, found '1.01'"},
      {"sampling: {repetition_penalty: 0}",
       "sampling.repetition_penalty: expected a number from 0.01 to 100, found '0'"},
      {"sampling: {logprobs: yes}", "sampling.logprobs: expected true or false, found 'yes'"},
      {"sampling: {logprobs: 'true'}", "sampling.logprobs: expected true or false, found the text 'true'"},
      {"sampling: {stop: a}", "sampling.stop: expected a list of texts that are not empty, found 'a'"},
      {"sampling: {stop: ['']}", "sampling.stop: expected a list of texts that are not empty, found a list"},
      {"sampling: {stop_token_ids: [-1]}",
       "sampling.stop_token_ids: expected a list of whole numbers >= 0, found a list"},
      {"backend: {linear: cublas}",
       "backend.linear: expected one of auto, kokkos, kokkos_kernels, onednn, found 'cublas'"},
      {"backend: {fake_gate_noise: 2}", "backend.fake_gate_noise: expected a number from 0 to 1, found '2'"},
      {"memory: {limit_gib: 0}", "memory.limit_gib: expected a number from 0.001 to 1000000, found '0'"},
      {"output: {file: ''}", "output.file: expected a text that is not empty, found the text ''"},
  };
  for (const BadLine& bad : cases) {
    EXPECT_EQ(message_of(std::string(kSmallest) + bad.line + "\n"), std::string("deck.yaml:4: ") + bad.message);
  }
}

TEST(Deck, MissingAndContradictoryKeysAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"model: {checkpoint: m.h5}", "deck.yaml: key 'job' is missing, expected one of generate, score, bench, train"},
      {"job: generate", "deck.yaml: expected either 'model.checkpoint' or 'model.config', found neither"},
      {"job: generate\nmodel: {checkpoint: m.h5, config: c.json}\nprompts: {text: a}",
       "deck.yaml: expected either 'model.checkpoint' or 'model.config', found both"},
      {"job: score\nmodel: {checkpoint: m.h5}",
       "deck.yaml: key 'data.file' is missing, expected a text that is not empty: What to score, as JSON Lines with "
       "text "
       "or token_ids, and optionally an id."},
      {"job: generate\nmodel: {checkpoint: m.h5}",
       "deck.yaml: expected either 'prompts.file' or 'prompts.text', found neither"},
      {"job: generate\nmodel: {checkpoint: m.h5}\nprompts: {file: a, text: b}",
       "deck.yaml: expected either 'prompts.file' or 'prompts.text', found both"},
      {"job: generate\nmodel: {checkpoint: m.h5}\nprompts: {text: b}\noutput: {resume: true}",
       "deck.yaml: 'output.resume: true' needs 'output.file'"},
      {"job: generate\nmodel: {checkpoint: null}",
       "deck.yaml: expected either 'model.checkpoint' or 'model.config', found neither"},
  };
  for (const auto& [text, message] : cases) EXPECT_EQ(message_of(text), message);
}

TEST(Deck, ThePrintedDeckParsesToTheDefaults) {
  Deck generate;
  generate.model.checkpoint = "model.h5";
  generate.prompts.file = "prompts.jsonl";
  EXPECT_EQ(parse(print_deck(Job::generate)), generate);
  Deck score;
  score.job = Job::score;
  score.model.checkpoint = "model.h5";
  score.data.file = "data.jsonl";
  EXPECT_EQ(parse(print_deck(Job::score)), score);
}

TEST(Deck, ThePrintedBenchDeckParsesToTheDefaults) {
  Deck bench;
  bench.job = Job::bench;
  bench.model.checkpoint = "model.h5";
  EXPECT_EQ(parse(print_deck(Job::bench)), bench);
}

// Single operations need no model; everything else does.
TEST(Deck, ABenchOfOperationsMayLackAModel) {
  EXPECT_TRUE(parse("job: bench\nbench: {operations: true}").bench.operations);
  EXPECT_EQ(message_of("job: bench\nbench: {batch: 2}"),
            "deck.yaml: expected either 'model.checkpoint' or 'model.config', found neither");
  EXPECT_EQ(message_of("job: bench\nmodel: {checkpoint: a, config: b}\nbench: {operations: true}"),
            "deck.yaml: expected either 'model.checkpoint' or 'model.config', found both");
}

TEST(Deck, ThePrintedDeckShowsKeysOfItsJobWithMeaningAndDefault) {
  const std::string generate = print_deck(Job::generate), score = print_deck(Job::score);
  EXPECT_THAT(generate, HasSubstr("  # Tokens in one forward pass, at most. Costs memory, changes no result.\n"
                                  "  # Default 2048; a whole number from 1 to 1048576.\n  max_tokens: 2048\n"));
  EXPECT_THAT(generate, HasSubstr("Relative paths are relative to the current directory"));
  EXPECT_THAT(generate, HasSubstr("  # apply_router_weight_after_down: true\n"));
  EXPECT_THAT(generate, Not(HasSubstr("data:")));
  EXPECT_THAT(score, HasSubstr("\ndata:\n"));
  EXPECT_THAT(score, Not(HasSubstr("sampling:")));
}

TEST(Deck, IsLoadedFromAFile) {
  const std::string path = ::testing::TempDir() + "m2_deck_test." + std::to_string(::getpid()) + ".yaml";
  std::ofstream(path) << kSmallest;
  Deck expected = smallest();
  expected.file = path;
  EXPECT_EQ(load_deck(path), expected);
  std::ofstream(path, std::ios::app) << "sampling: {sed: 1}\n";
  EXPECT_THAT([&] { load_deck(path); }, ::testing::ThrowsMessage<UsageError>(
                                            path + ":4: unknown key 'sampling.sed'; did you mean 'sampling.seed'?"));
  std::remove(path.c_str());
  for (const std::string& missing : {path, ::testing::TempDir()}) {
    EXPECT_THAT([&] { load_deck(missing); },
                ::testing::ThrowsMessage<UsageError>(
                    missing + ": cannot read the deck; expected a YAML file, as --print-deck prints"));
  }
}

}  // namespace
}  // namespace m2
