// SPDX-License-Identifier: Apache-2.0
#include "infer/generator.hpp"

#include <algorithm>
#include <utility>

#include "core/host_copy.hpp"
#include "infer/run_batches.hpp"
#include "kernels/rowwise/token_logprob.hpp"

namespace m2 {

Generator::Generator(MiniMaxM2ForCausalLM& model, const Tokenizer* tokenizer, GenerationOptions options,
                     const BatchSection& batch, KVCache& cache)
    : model_(model),
      tokenizer_(tokenizer),
      options_(std::move(options)),
      sampler_(model.exec(), options_.sampling, options_.never_V, model.config().vocab_size, batch.max_sequences),
      scheduler_(cache, batch.max_tokens, batch.max_sequences),
      token_B_(Kokkos::view_alloc(model.exec(), "m2::generator::token_B"), batch.max_sequences),
      logprob_B_(Kokkos::view_alloc(model.exec(), "m2::generator::logprob_B"), batch.max_sequences) {}

std::int64_t Generator::max_length(const Prompt& prompt, const GenerationOptions& options,
                                   const MiniMaxM2Config& config) {
  return std::min<std::int64_t>(std::ssize(prompt.tokens) + options.max_new_tokens, config.max_position_embeddings);
}

void Generator::run(std::span<const Prompt> prompts, const NextPrompt& next, Lockstep lockstep,
                    const OnResult& on_result, const OnText& on_text, const OnStep& on_step) {
  const auto submit_prompt = [&](std::int64_t index) { submit(prompts[index], index); };
  run_batches(scheduler_, next, lockstep, submit_prompt, [&] {
    step(on_result, on_text);
    if (on_step) on_step();
  });
}

void Generator::submit(const Prompt& prompt, std::int64_t index) {
  State& state = states_[index];
  state.prompt_length = std::ssize(prompt.tokens);
  state.max_length = max_length(prompt, options_, model_.config());
  if (tokenizer_) state.text.emplace(*tokenizer_, options_.stop);
  scheduler_.submit(index, prompt.tokens, state.max_length);
}

// One pass of the model. Only a sequence whose last known token is in it gets logits, and a new token.
void Generator::step(const OnResult& on_result, const OnText& on_text) {
  const ScheduledStep step = scheduler_.next_step();
  std::vector<Sequence> sequences;
  std::vector<int> rows;
  for (const ScheduledChunk& chunk : step.chunks) {
    if (chunk.begin + chunk.count < std::ssize(chunk.sequence->tokens)) continue;
    sequences.push_back(chunk.sequence);
    rows.push_back(int(chunk.first_row + chunk.count - 1));
  }
  const View2D<const float> logits_BV = model_.step(step.tokens, rows, scheduler_.cache());
  if (rows.empty()) return;
  const std::vector<int> tokens = sample(logits_BV, sequences);
  if (options_.logprobs) {
    const std::vector<float> values = logprobs(logits_BV, tokens);
    for (std::size_t b = 0; b < tokens.size(); ++b) {
      states_.at(sequences[b]->index).result.logprobs.push_back(values[b]);
    }
  }
  for (std::size_t b = 0; b < tokens.size(); ++b) append(sequences[b], tokens[b], on_result, on_text);
}

std::vector<int> Generator::sample(View2D<const float> logits_BV, const std::vector<Sequence>& sequences) {
  std::vector<SamplingContext> context_B;
  for (const Sequence& sequence : sequences) {
    const State& state = states_.at(sequence->index);
    context_B.push_back({.history = sequence->tokens,
                         .identity = std::uint64_t(sequence->index),
                         .step = state.result.token_ids.size()});
  }
  return sampler_.sample(logits_BV, context_B);
}

// By the same kernel as the score job: both give the same bits for the same text.
std::vector<float> Generator::logprobs(View2D<const float> logits_BV, std::span<const int> tokens) const {
  const View1D<int> token_B = copy_to_device(model_.exec(), tokens, token_B_);
  const View1D<float> logprob_B = slice(logprob_B_, 0, std::ssize(tokens));
  token_logprob(model_.exec(), logits_BV, token_B, logprob_B);
  return to_host(model_.exec(), logprob_B, "m2::generator: log-probabilities for the host");
}

void Generator::append(Sequence sequence, int token, const OnResult& on_result, const OnText& on_text) {
  const std::int64_t index = sequence->index;
  State& state = states_.at(index);
  sequence->tokens.push_back(token);
  state.result.token_ids.push_back(token);
  ++num_generated_;
  state.result.stopped = ends(state, token);
  const bool done = state.result.stopped || std::ssize(sequence->tokens) == state.max_length;
  if (state.text) {
    if (done) state.text->finish();
    if (on_text) on_text(index, state.text->take_certain());
    if (done) state.result.text = state.text->text();
  }
  if (!done) return;
  scheduler_.remove(sequence);
  on_result(index, state.result);
  states_.erase(index);
}

// Whether a token or text that ends sequences is complete; a token that does is no part of the text.
bool Generator::ends(State& state, int token) const {
  if (std::ranges::find(options_.stop_token_ids, token) != options_.stop_token_ids.end()) return true;
  return state.text && state.text->push(token);
}

}  // namespace m2
