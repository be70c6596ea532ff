// SPDX-License-Identifier: Apache-2.0
#include "jobs/score_job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <vector>

#include "core/plural.hpp"
#include "core/progress.hpp"
#include "core/stopwatch.hpp"
#include "infer/scorer.hpp"
#include "io/json_number.hpp"
#include "jobs/finish_job.hpp"
#include "jobs/job_model.hpp"
#include "jobs/memory_plan.hpp"
#include "parallel/mesh.hpp"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

// Sum of -ln p and number of the tokens scored.
struct Score {
  double nll = 0.0;
  std::int64_t num_tokens = 0;

  void add(const Score& other) {
    nll += other.nll;
    num_tokens += other.num_tokens;
  }
  double perplexity() const { return std::exp(nll / double(num_tokens)); }
};

Score score_of(std::span<const float> logprobs) {
  Score score{.nll = 0.0, .num_tokens = std::ssize(logprobs)};
  for (const float logprob : logprobs) score.nll -= double(logprob);
  return score;
}

// The first token has nothing before it: null. Without a scored token there is no perplexity: null.
Json result_line(const Prompt& text, std::span<const float> logprobs, const Score& score) {
  Json line;
  line["id"] = text.id;
  line["token_ids"] = text.tokens;
  Json& list = line["logprobs"] = Json::array();
  if (!text.tokens.empty()) list.push_back(nullptr);
  for (const float logprob : logprobs) list.push_back(json_number(logprob));
  line["nll"] = score.nll;
  line["perplexity"] = score.num_tokens > 0 ? Json(score.perplexity()) : Json(nullptr);
  return line;
}

std::int64_t count_tokens(std::span<const Prompt> texts) {
  std::int64_t count = 0;
  for (const Prompt& text : texts) count += Scorer::num_scored(text);
  return count;
}

void print_summary(const Score& total, std::int64_t num_new, double seconds) {
  fmt::print(stderr, "m2: scored {} tokens in {:.1f} s, {:.1f} tokens/s\n", num_new, seconds,
             double(num_new) / seconds);
  if (total.num_tokens == 0) return;
  fmt::print(stderr, "m2: perplexity {:.6g} over {} tokens, nll {:.6f} each\n", total.perplexity(), total.num_tokens,
             total.nll / double(total.num_tokens));
}

// Reads the weights and scores the texts that have no line yet.
void score(const Deck& deck, JobModel& job, const std::vector<Prompt>& texts, const std::vector<std::int64_t>& lengths,
           const MemoryPlan& plan, Communicator& world) {
  Score total;
  std::int64_t num_kept = 0, num_new = 0;
  std::optional<Progress> progress;
  ResultLines lines(
      world, deck.output, texts, "token_ids",
      [&](const nlohmann::json& line) {
        total.add({.nll = line.value("nll", 0.0), .num_tokens = Scorer::num_scored(texts[num_kept++])});
      },
      [&](const ResultLine& line) { total.add({.nll = line.nll, .num_tokens = line.num_tokens}); },
      [&](std::int64_t num_tokens) {
        num_new += num_tokens;
        if (progress) progress->add(num_tokens);
      });
  job.load();
  KVCache cache = make_cache(plan, job.model());
  PromptQueue queue(world, lengths, lines.first(), deck.batch.max_sequences);
  Scorer scorer(job.model(), {.max_tokens = deck.batch.max_tokens, .max_sequences = queue.sequences_per_rank()}, cache);

  const Stopwatch stopwatch;
  if (world.rank() == 0) progress.emplace("score", count_tokens(std::span(texts).subspan(lines.first())), "tokens");
  const auto on_result = [&](std::int64_t index, std::span<const float> logprobs) {
    const Score score = score_of(logprobs);
    lines.write({.index = index,
                 .num_tokens = score.num_tokens,
                 .nll = score.nll,
                 .text = result_line(texts[index], logprobs, score).dump()});
  };
  run_to_end(world, queue, lines, [&] {
    scorer.run(
        texts, [&] { return queue.next(); }, Lockstep(group_of(job.expert_parallel()), deck.output.grace_seconds),
        on_result,
        [&](std::int64_t num_tokens) {
          lines.add_tokens(num_tokens);
          lines.poll();
        });
  });
  progress.reset();  // ends the bar's line
  if (world.rank() == 0) print_summary(total, num_new, stopwatch.seconds());
  report_parallel(deck, job, world);
}

}  // namespace

void run_score(const Deck& deck, Communicator& world, bool check_only) {
  JobModel job(deck, world);
  MiniMaxM2ForCausalLM& model = job.model();
  const std::vector<Prompt> texts = read_texts(deck.data.file, job.prompt_context());
  std::vector<std::int64_t> lengths;
  for (const Prompt& text : texts) lengths.push_back(Scorer::num_scored(text));
  const MemoryPlan plan =
      plan_memory(model, lengths, TokenScorer::workspace_bytes(model, deck.batch.max_tokens), deck, world);
  if (check_only) {
    const std::string work =
        fmt::format("score: {}, {}", counted(std::ssize(texts), "text"), counted(count_tokens(texts), "token"));
    print_plan(plan, deck, job, work, world);
  }
  require_memory(plan);
  if (!check_only) score(deck, job, texts, lengths, plan, world);
}

}  // namespace m2
