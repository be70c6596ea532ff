// SPDX-License-Identifier: Apache-2.0
#include "bench/passes.hpp"

#include <algorithm>
#include <array>

#include "core/operation_log.hpp"
#include "core/stop_signal.hpp"
#include "core/stopwatch.hpp"
#include "kernels/common/philox.hpp"

namespace m2 {
namespace {

// Throws on all ranks as soon as one of them was asked to stop.
void require_no_stop(Communicator& world) {
  const std::array<std::int64_t, 1> signal{stop_signal()};
  const int stopped_by = int(world.max_values(signal)[0]);
  if (stopped_by != 0) throw Interrupted(stopped_by);
}

double slowest_seconds(double seconds, Communicator& world) {
  const std::array<std::int64_t, 1> nanoseconds{std::int64_t(seconds * 1e9)};
  return double(world.max_values(nanoseconds)[0]) * 1e-9;
}

OperationCost sum_over_ranks(const OperationCost& own, Communicator& world) {
  const std::array<std::int64_t, 2> values{own.bytes, own.flop};
  const std::vector<std::int64_t> all = world.all_gather_values(values);
  OperationCost sum;
  for (std::size_t i = 0; i < all.size(); i += 2) sum += {.bytes = all[i], .flop = all[i + 1]};
  return sum;
}

}  // namespace

int bench_token(int rank, int sequence, int position, int vocabulary) {
  const PhiloxBlock random =
      philox({{std::uint32_t(position), std::uint32_t(sequence), std::uint32_t(rank), 0}}, /*key_0=*/0, /*key_1=*/0);
  return int(random.word[0] % std::uint32_t(vocabulary));
}

BenchPasses::BenchPasses(MiniMaxM2ForCausalLM& model, KVCache& cache, const BenchSection& settings, int rank)
    : model_(model),
      cache_(cache),
      settings_(settings),
      rank_(rank),
      sampler_(model.exec(), {.temperature = 0.0}, {}, model.config().vocab_size, settings.batch) {
  for (const std::int64_t length : lengths(settings)) {
    sequence_B_.push_back(cache_.add_sequence());
    M2_REQUIRE(cache_.reserve(sequence_B_.back(), length),
               "bench: the KV cache has {} positions, {} sequences need {} each; lower bench.batch or bench.context",
               cache_.num_pages() * kKvPage, settings.batch, length);
  }
}

std::vector<std::int64_t> BenchPasses::lengths(const BenchSection& settings) {
  std::vector<std::int64_t> lengths(settings.batch, std::int64_t(settings.context) + settings.generated_tokens);
  lengths[0] = std::max<std::int64_t>(lengths[0], settings.prompt_tokens);
  return lengths;
}

int BenchPasses::max_pass_tokens(const BenchSection& settings) {
  return std::max(settings.prompt_tokens, settings.batch);
}

// The same for every length of the prompt: what prefill() writes to the cache is what fill_context() wrote.
int BenchPasses::prompt_token(int sequence, int position) const {
  return bench_token(rank_, sequence, position, model_.config().vocab_size);
}

void BenchPasses::prefill() { read_prompt(/*sequence=*/0, 0, settings_.prompt_tokens); }

void BenchPasses::fill_context() {
  next_token_B_.clear();
  for (int sequence = 0; sequence < settings_.batch; ++sequence) {
    int token = 0;
    for (int begin = 0; begin < settings_.context; begin += settings_.prompt_tokens) {
      token = read_prompt(sequence, begin, std::min(settings_.prompt_tokens, settings_.context - begin));
    }
    next_token_B_.push_back(token);
  }
}

// Returns the token that follows.
int BenchPasses::read_prompt(int sequence, int begin, int count) {
  PackedTokens tokens;
  for (int position = begin; position < begin + count; ++position) {
    tokens.add(prompt_token(sequence, position), position, sequence_B_[sequence], position);
  }
  const std::array<int, 1> last{count - 1};
  return step(tokens, last)[0];
}

void BenchPasses::decode(int num_tokens) {
  std::vector<int> token_B = next_token_B_, rows(settings_.batch);
  for (int b = 0; b < settings_.batch; ++b) rows[b] = b;
  for (int i = 0; i < num_tokens; ++i) {
    const int position = settings_.context + i;
    PackedTokens tokens;
    for (int b = 0; b < settings_.batch; ++b) tokens.add(token_B[b], position, sequence_B_[b], position);
    token_B = step(tokens, rows);
  }
}

std::vector<int> BenchPasses::step(const PackedTokens& tokens, std::span<const int> rows) {
  const View2D<const float> logits_BV = model_.step(tokens, rows, cache_);
  std::vector<SamplingContext> context_B;
  for (std::size_t b = 0; b < rows.size(); ++b) context_B.push_back({.history = {}, .identity = b, .step = 0});
  return sampler_.sample(logits_BV, context_B);
}

BenchPhase measure_phase(const std::string& name, std::int64_t tokens, const std::function<void()>& work, int repeats,
                         Communicator& world) {
  BenchPhase phase;
  phase.name = name;
  phase.tokens = tokens * world.size();
  const auto measure = [&] {
    require_no_stop(world);
    world.barrier();
    const Stopwatch stopwatch;
    work();
    return slowest_seconds(stopwatch.seconds(), world);
  };
  for (int repeat = 0; repeat < repeats; ++repeat) phase.seconds.push_back(measure());
  OperationLog log(OperationLog::Timing::on);
  const OperationLog::Recording recording(log);
  phase.timed_seconds = measure();
  phase.cost = sum_over_ranks(log.total(), world);
  phase.operations = log.entries();
  return phase;
}

}  // namespace m2
