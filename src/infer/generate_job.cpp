// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <vector>

#include "core/error.hpp"
#include "core/progress.hpp"
#include "infer/describe_model.hpp"
#include "infer/generator.hpp"
#include "infer/job_model.hpp"
#include "infer/jobs.hpp"
#include "infer/memory_plan.hpp"
#include "infer/output_lines.hpp"
#include "infer/stopwatch.hpp"

namespace m2 {
namespace {

// Whether the text of the only prompt is printed as it is generated.
bool streams(const OutputSection& output, std::size_t num_prompts, bool has_tokenizer) {
  if (output.stream == StreamText::always) {
    if (num_prompts != 1) {
      throw UsageError(
          fmt::format("output.stream: always prints the text of one prompt, and there are {}; use auto or "
                      "never",
                      num_prompts));
    }
    if (!has_tokenizer) throw UsageError("output.stream: always needs a tokenizer, and the checkpoint has none");
    return true;
  }
  return output.stream == StreamText::automatic && !output.file && num_prompts == 1 && has_tokenizer &&
         ::isatty(STDOUT_FILENO) == 1;
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

// Reads the weights and continues the prompts that have no line yet.
void generate(const Deck& deck, JobModel& job, const std::vector<Prompt>& prompts, const GenerationOptions& options,
              const MemoryPlan& plan, bool stream) {
  MiniMaxM2ForCausalLM& model = job.model();
  OutputLines lines(deck.output, prompts, "prompt_token_ids");
  job.load();
  model.reserve(deck.batch.max_tokens, deck.batch.max_sequences);
  KVCache cache = make_cache(plan, model);
  Generator generator(model, job.tokenizer(), options, deck.batch, cache);

  const std::int64_t first = lines.num_lines(), num_new = std::ssize(prompts) - first;
  const Stopwatch stopwatch;
  const auto rate = [&] { return double(generator.num_generated()) / stopwatch.seconds(); };
  std::optional<Progress> progress;
  if (!stream) progress.emplace("generate", num_new, "prompts");  // a bar would be drawn over the text
  const auto on_result = [&](std::int64_t index, const GenerationResult& result) {
    if (!stream || deck.output.file) lines.write(result_line(prompts[index], result, options.logprobs));
    if (progress) progress->add(1);
  };
  const auto on_step = [&] {
    if (!progress) return;
    progress->set_note(fmt::format("{:.1f} tokens/s", rate()));
    progress->add(0);
  };
  Generator::OnText on_text;
  if (stream) on_text = [](std::int64_t, std::string_view text) { print_now(text); };
  if (stream) print_now(prompts[0].text);
  generator.run(prompts, first, on_result, on_text, on_step);
  if (stream) print_now("\n");
  lines.finish();
  progress.reset();  // ends the bar's line
  fmt::print(stderr, "m2: generated {} for {} in {:.1f} s, {:.1f} tokens/s\n",
             counted(generator.num_generated(), "token"), counted(num_new, "prompt"), stopwatch.seconds(), rate());
}

}  // namespace

void run_generate(const Deck& deck, bool check_only) {
  JobModel job(deck);
  MiniMaxM2ForCausalLM& model = job.model();
  const std::vector<Prompt> prompts = read_prompts(deck.prompts, job.prompt_context());
  const GenerationOptions options =
      resolve_generation_options(deck.sampling, job.generation_defaults(), model.config(), job.tokenizer());
  const bool stream = streams(deck.output, prompts.size(), job.tokenizer() != nullptr);
  std::vector<std::int64_t> lengths;
  for (const Prompt& prompt : prompts) lengths.push_back(Generator::max_length(prompt, options, model.config()));
  const MemoryPlan plan =
      plan_memory(model, lengths, model.workspace_bytes(deck.batch.max_tokens, deck.batch.max_sequences), deck);
  if (check_only) print_now(plan_text(plan, deck, job.source(), model, work_text(prompts, options)));
  require_memory(plan);
  if (!check_only) generate(deck, job, prompts, options, plan, stream);
}

}  // namespace m2
