// SPDX-License-Identifier: Apache-2.0
// Throughput of the tokenizer on one core: English text (the demo's handbook, repeated to 4 MB), words that
// never repeat, and one long run of a letter. bytes_per_second counts the bytes of text.
#include <benchmark/benchmark.h>

#include <fstream>
#include <sstream>
#include <string>

#include "core/error.hpp"
#include "text/tokenizer.hpp"

namespace {

constexpr std::size_t kTextBytes = 4 << 20;

std::string read_file(const std::string& name) {
  const std::string path = M2_SOURCE_DIR "/inputs/demo/" + name;
  std::ifstream file(path, std::ios::binary);
  M2_REQUIRE(file, "cannot open {}", path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string repeat(const std::string& unit) {
  std::string text;
  while (text.size() < kTextBytes) text += unit;
  return text;
}

const m2::Tokenizer& tokenizer() {
  static const auto loaded = m2::Tokenizer::from_json(read_file("checkpoint/tokenizer.json"), "tokenizer.json");
  return loaded;
}

void encode(benchmark::State& state, const std::string& text) {
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer().encode(text));
  state.SetBytesProcessed(std::int64_t(state.iterations() * text.size()));
}

void encode_english(benchmark::State& state) { encode(state, repeat(read_file("handbook.txt"))); }

// Every word differs from all others, so that each goes through the merges.
void encode_new_words(benchmark::State& state) {
  std::string text;
  for (std::uint32_t i = 0; text.size() < kTextBytes; ++i) {
    text += ' ';
    for (std::uint32_t bits = i * 2654435761u; bits != 0; bits /= 21) text += char('a' + bits % 21);
  }
  encode(state, text);
}

void encode_one_run(benchmark::State& state) { encode(state, repeat("a")); }

void decode_english(benchmark::State& state) {
  const std::string text = repeat(read_file("handbook.txt"));
  const std::vector<std::int32_t> ids = tokenizer().encode(text);
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer().decode(ids));
  state.SetBytesProcessed(std::int64_t(state.iterations() * text.size()));
}

BENCHMARK(encode_english)->Unit(benchmark::kMillisecond);
BENCHMARK(encode_new_words)->Unit(benchmark::kMillisecond);
BENCHMARK(encode_one_run)->Unit(benchmark::kMillisecond);
BENCHMARK(decode_english)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
