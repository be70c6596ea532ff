// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <vector>

#include "core/error.hpp"
#include "core/progress.hpp"
#include "infer/generator.hpp"
#include "infer/job_model.hpp"
#include "infer/jobs.hpp"
#include "infer/memory_plan.hpp"
#include "infer/output_lines.hpp"

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
  return fmt::format("generate: {} prompts, up to {} new tokens each, {}", prompts.size(), options.max_new_tokens,
                     sampling.temperature == 0.0
                         ? "the likeliest token each time"
                         : fmt::format("temperature {}, top_k {}, top_p {}, seed {}", sampling.temperature,
                                       sampling.top_k, sampling.top_p, sampling.seed));
}

void print_summary(std::int64_t num_tokens, std::int64_t num_prompts, double seconds) {
  fmt::print(stderr, "m2: generated {} tokens for {} prompts in {:.1f} s, {:.1f} tokens/s\n", num_tokens, num_prompts,
             seconds, double(num_tokens) / seconds);
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
  if (check_only) return;

  OutputLines lines(deck.output, prompts, "prompt_token_ids");
  job.load();
  model.reserve(deck.batch.max_tokens, deck.batch.max_sequences);
  KVCache cache = make_cache(plan, model);
  Generator generator(model, job.tokenizer(), options, deck.batch, cache);
  const std::int64_t first = lines.num_lines(), num_new = std::ssize(prompts) - first;
  Progress progress("generate", num_new, "prompts");
  const auto on_result = [&](std::int64_t index, const GenerationResult& result) {
    if (!stream || deck.output.file) lines.write(result_line(prompts[index], result, options.logprobs));
    progress.add(1);
  };
  const auto on_text = [](std::int64_t, std::string_view text) { print_now(text); };
  if (stream) print_now(prompts[0].text);
  generator.run(prompts, first, on_result, stream ? Generator::OnText(on_text) : Generator::OnText());
  if (stream) print_now("\n");
  lines.finish();
  print_summary(generator.num_generated(), num_new, progress.elapsed_seconds());
}

}  // namespace m2
