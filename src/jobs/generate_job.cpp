// SPDX-License-Identifier: Apache-2.0
#include "jobs/generate_job.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <vector>

#include "core/error.hpp"
#include "core/plural.hpp"
#include "core/print.hpp"
#include "core/progress.hpp"
#include "core/stopwatch.hpp"
#include "infer/generator.hpp"
#include "io/json_number.hpp"
#include "jobs/finish_job.hpp"
#include "jobs/job_model.hpp"
#include "jobs/memory_plan.hpp"
#include "parallel/mesh.hpp"

namespace m2 {
namespace {

// Whether the text of the only prompt is printed as it is generated.
bool streams(const OutputSection& output, std::size_t num_prompts, bool has_tokenizer, int num_ranks) {
  if (output.stream == StreamText::always) {
    if (num_ranks > 1) raise_usage("output.stream: always needs one rank; use auto or never on several");
    if (num_prompts != 1) {
      raise_usage("output.stream: always prints the text of one prompt, and there are {}; use auto or never",
                  num_prompts);
    }
    if (!has_tokenizer) raise_usage("output.stream: always needs a tokenizer, and the checkpoint has none");
    return true;
  }
  return output.stream == StreamText::automatic && num_ranks == 1 && !output.file && num_prompts == 1 &&
         has_tokenizer && ::isatty(STDOUT_FILENO) == 1;
}

nlohmann::ordered_json result_line(const Prompt& prompt, const GenerationResult& result, bool with_logprobs) {
  nlohmann::ordered_json line;
  line["id"] = prompt.id;
  line["prompt_token_ids"] = prompt.tokens;
  line["token_ids"] = result.token_ids;
  line["text"] = result.text ? nlohmann::ordered_json(*result.text) : nlohmann::ordered_json(nullptr);
  line["finish_reason"] = result.stopped ? "stop" : "length";
  if (with_logprobs) {
    nlohmann::ordered_json& logprobs = line["logprobs"] = nlohmann::ordered_json::array();
    for (const float value : result.logprobs) logprobs.push_back(json_number(value));
  }
  return line;
}

std::string work_text(const std::vector<Prompt>& prompts, const GenerationOptions& options) {
  const SamplingOptions& sampling = options.sampling;
  return fmt::format(
      "generate: {}, up to {} new tokens each, {}", counted(std::ssize(prompts), "prompt"), options.max_new_tokens,
      sampling.temperature == 0.0 ? "the likeliest token each time"
                                  : fmt::format("temperature {}, top_k {}, top_p {}, seed {}", sampling.temperature,
                                                sampling.top_k, sampling.top_p, sampling.seed));
}

// What rank 0 tells while the job runs and at its end.
class Report {
 public:
  Report(const Communicator& world, bool stream) : speaks_(world.rank() == 0), has_bar_(speaks_ && !stream) {}

  void begin(std::int64_t num_prompts) {
    stopwatch_ = Stopwatch();
    num_prompts_ = num_prompts;
    if (has_bar_) progress_.emplace("generate", num_prompts, "prompts");
  }
  void add_line() {
    if (progress_) progress_->add(1);
  }
  void add_tokens(std::int64_t count) {
    if (num_tokens_ == 0 && count > 0) first_token_seconds_ = since_start_.seconds();
    num_tokens_ += count;
    if (!progress_) return;
    progress_->set_note(fmt::format("{:.1f} tokens/s", rate()));
    progress_->add(0);
  }
  void end() {
    progress_.reset();  // ends the bar's line
    if (!speaks_) return;
    fmt::print(stderr, "m2: generated {} for {} in {:.1f} s, {:.1f} tokens/s{}\n", counted(num_tokens_, "token"),
               counted(num_prompts_, "prompt"), stopwatch_.seconds(), rate(),
               num_tokens_ > 0
                   ? fmt::format("; the first one {:.2f} s after the start, with loading", first_token_seconds_)
                   : "");
  }

 private:
  double rate() const { return double(num_tokens_) / stopwatch_.seconds(); }

  bool speaks_, has_bar_;
  std::optional<Progress> progress_;
  Stopwatch since_start_, stopwatch_;
  double first_token_seconds_ = 0.0;
  std::int64_t num_prompts_ = 0, num_tokens_ = 0;
};

// What is generated, for how long each.
struct Work {
  std::vector<Prompt> prompts;
  std::vector<std::int64_t> lengths;
  GenerationOptions options;
  bool stream = false;
};

// Reads the weights and continues the prompts that have no line yet.
void generate(const Deck& deck, JobModel& job, const Work& work, const MemoryPlan& plan, Communicator& world) {
  MiniMaxM2ForCausalLM& model = job.model();
  const auto& [prompts, lengths, options, stream] = work;
  Report report(world, stream);
  ResultLines lines(
      world, deck.output, prompts, "prompt_token_ids", /*visit=*/{}, [&](const ResultLine&) { report.add_line(); },
      [&](std::int64_t num_tokens) { report.add_tokens(num_tokens); });
  job.load();
  model.reserve(deck.batch.max_tokens, deck.batch.max_sequences);
  KVCache cache = make_cache(plan, model);
  PromptQueue queue(world, lengths, lines.first(), deck.batch.max_sequences);
  Generator generator(model, job.tokenizer(), options,
                      {.max_tokens = deck.batch.max_tokens, .max_sequences = queue.sequences_per_rank()}, cache);
  report.begin(std::ssize(prompts) - lines.first());

  const auto on_result = [&](std::int64_t index, const GenerationResult& result) {
    if (stream && !deck.output.file) return;
    lines.write({.index = index,
                 .num_tokens = std::ssize(result.token_ids),
                 .text = result_line(prompts[index], result, options.logprobs).dump()});
  };
  std::int64_t num_reported = 0;
  const auto on_step = [&] {
    lines.add_tokens(generator.num_generated() - num_reported);
    num_reported = generator.num_generated();
    lines.poll();
  };
  Generator::OnText on_text;
  if (stream) on_text = [](std::int64_t, std::string_view text) { print_now(text); };
  if (stream) print_now(prompts[0].text);
  run_to_end(world, queue, lines, [&] {
    generator.run(
        prompts, [&] { return queue.next(); }, Lockstep(group_of(job.expert_parallel()), deck.output.grace_seconds),
        on_result, on_text, on_step);
  });
  if (stream) print_now("\n");
  report.end();
  report_parallel(deck, job, world);
}

}  // namespace

void run_generate(const Deck& deck, Communicator& world, bool check_only) {
  JobModel job(deck, world);
  MiniMaxM2ForCausalLM& model = job.model();
  Work work;
  work.prompts = read_prompts(deck.prompts, job.prompt_context());
  work.options = resolve_generation_options(deck.sampling, job.generation_defaults(), model.config(), job.tokenizer());
  work.stream = streams(deck.output, work.prompts.size(), job.tokenizer() != nullptr, world.size());
  for (const Prompt& prompt : work.prompts) {
    work.lengths.push_back(Generator::max_length(prompt, work.options, model.config()));
  }
  const MemoryPlan plan = plan_memory(
      model, work.lengths, model.workspace_bytes(deck.batch.max_tokens, deck.batch.max_sequences), deck, world);
  if (check_only) print_plan(plan, deck, job, work_text(work.prompts, work.options), world);
  require_memory(plan);
  if (!check_only) generate(deck, job, work, plan, world);
}

}  // namespace m2
