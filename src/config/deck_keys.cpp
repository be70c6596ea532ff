// SPDX-License-Identifier: Apache-2.0
#include "config/deck_keys.hpp"

#include "config/deck_key_makers.hpp"

namespace m2 {
namespace deck_key {
namespace {

DeckKey job_key() {
  DeckKey result{"job", kEvery, "What to do.", "one of " + allowed_names<Job>()};
  result.read = [](const YamlNode& value, Deck& deck) { return read_value(value, AnyWord{}, deck.job); };
  result.print = [](const Deck& deck) { return print_value(deck.job); };
  result.required = true;
  return result;
}

void add_model_keys(std::vector<DeckKey>& keys) {
  keys.push_back(with_example(path("model.checkpoint", kEvery, &Deck::model, &ModelSection::checkpoint, PathUse::read,
                                   "The model: an HDF5 file of m2-convert, or a Hugging Face directory. Either this "
                                   "or model.config."),
                              "model.h5"));
  keys.push_back(path("model.config", kEvery, &Deck::model, &ModelSection::config, PathUse::read,
                      "A config.json: its model gets random weights, the same for any number of ranks. For measuring "
                      "memory and time, and for training from scratch."));
  keys.push_back(word("model.dtype", kEvery, &Deck::model, &ModelSection::dtype,
                      "Type of the activations and of unquantised weights; auto: what the checkpoint says."));
  keys.push_back(path("model.adapter", kTexts, &Deck::model, &ModelSection::adapter, PathUse::read,
                      "A PEFT folder with low-rank adapters for the model."));
}

void add_prompt_keys(std::vector<DeckKey>& keys) {
  keys.push_back(with_example(
      path("prompts.file", kGenerate, &Deck::prompts, &PromptsSection::file, PathUse::read,
           "Prompts, as JSON Lines with prompt, token_ids or messages, and optionally an id. Either this or "
           "prompts.text."),
      "prompts.jsonl"));
  keys.push_back(
      text("prompts.text", kGenerate, &Deck::prompts, &PromptsSection::text, "One prompt, continued as it stands."));
}

void add_sampling_keys(std::vector<DeckKey>& keys) {
  constexpr auto kSection = &Deck::sampling;
  keys.push_back(whole("sampling.max_new_tokens", kGenerate, kSection, &SamplingSection::max_new_tokens, 1, 1 << 26,
                       "Tokens to generate for a prompt, at most."));
  keys.push_back(real("sampling.temperature", kGenerate, kSection, &SamplingSection::temperature, 0.0, 100.0,
                      "Divides the logits; 0 always takes the likeliest token. null: what the checkpoint suggests."));
  keys.push_back(whole("sampling.top_k", kGenerate, kSection, &SamplingSection::top_k, 0, 1 << 24,
                       "Samples among this many of the likeliest tokens; 0: all. null: what the checkpoint suggests."));
  keys.push_back(real("sampling.top_p", kGenerate, kSection, &SamplingSection::top_p, 0.0, 1.0,
                      "Samples among the fewest tokens that together have this probability; 1: all. null: what the "
                      "checkpoint suggests."));
  keys.push_back(real("sampling.min_p", kGenerate, kSection, &SamplingSection::min_p, 0.0, 1.0,
                      "Leaves out tokens less probable than this times the likeliest one; 0: none."));
  keys.push_back(real("sampling.repetition_penalty", kGenerate, kSection, &SamplingSection::repetition_penalty, 0.01,
                      100.0, "Divides positive logits of tokens seen before, multiplies negative ones; 1: off."));
  keys.push_back(whole("sampling.seed", kGenerate, kSection, &SamplingSection::seed, 0,
                       std::numeric_limits<std::int64_t>::max(),
                       "The same seed gives the same text, whatever the batch, threads and other prompts."));
  keys.push_back(texts("sampling.stop", kGenerate, kSection, &SamplingSection::stop, "Texts that end a sequence."));
  keys.push_back(key("sampling.stop_token_ids", kGenerate, kSection, &SamplingSection::stop_token_ids,
                     NumberRange<int>{0, std::numeric_limits<int>::max()}, "a list of whole numbers >= 0",
                     "Tokens that end a sequence, besides the model's own end-of-sequence tokens."));
  keys.push_back(flag("sampling.ignore_eos", kGenerate, kSection, &SamplingSection::ignore_eos,
                      "Continues after the model's own end-of-sequence tokens."));
  keys.push_back(flag("sampling.logprobs", kGenerate, kSection, &SamplingSection::logprobs,
                      "Writes the natural logarithm of each generated token's probability."));
}

void add_bench_keys(std::vector<DeckKey>& keys) {
  constexpr auto kSection = &Deck::bench;
  keys.push_back(whole("bench.prompt_tokens", kBench, kSection, &BenchSection::prompt_tokens, 1, 1 << 20,
                       "Tokens of the prompt that is read in one pass."));
  keys.push_back(whole("bench.generated_tokens", kBench, kSection, &BenchSection::generated_tokens, 1, 1 << 20,
                       "Tokens to generate for each sequence."));
  keys.push_back(whole("bench.batch", kBench, kSection, &BenchSection::batch, 1, 1 << 16,
                       "Sequences that generate at the same time, on each rank."));
  keys.push_back(whole("bench.context", kBench, kSection, &BenchSection::context, 1, 1 << 20,
                       "Tokens of each sequence before the first generated one."));
  keys.push_back(whole("bench.repeats", kBench, kSection, &BenchSection::repeats, 1, 1 << 20,
                       "Measurements of each; the report has the median, the minimum and the maximum."));
  keys.push_back(flag("bench.operations", kBench, kSection, &BenchSection::operations,
                      "Also measures single operations at the sizes of MiniMax-M2; then the model may be left out."));
  keys.push_back(flag("bench.train", kBench, kSection, &BenchSection::train,
                      "Also measures training: forward, backward and optimizer (AdamW) for bench.batch sequences of "
                      "bench.prompt_tokens."));
}

void add_run_keys(std::vector<DeckKey>& keys) {
  keys.push_back(whole("batch.max_tokens", kTexts, &Deck::batch, &BatchSection::max_tokens, 1, 1 << 20,
                       "Tokens in one forward pass, at most. Costs memory, changes no result."));
  keys.push_back(whole("batch.max_sequences", kTexts, &Deck::batch, &BatchSection::max_sequences, 1, 1 << 16,
                       "Sequences worked on at the same time, at most. Costs memory, changes no result."));
  keys.push_back(real("memory.limit_gib", kEvery, &Deck::memory, &MemorySection::limit_gib, 0.001, 1e6,
                      "GiB (1024^3 bytes) this process may use. null: what the machine has."));
  keys.push_back(path("output.file", kResults, &Deck::output, &OutputSection::file, PathUse::write,
                      "Results, as JSON Lines in the order of the input; of bench, one JSON object with everything "
                      "that was measured. null: standard output, where bench always prints its tables."));
  keys.push_back(with_example(path("output.file", kTrain, &Deck::output, &OutputSection::file, PathUse::write,
                                   "Loss, gradient norm, speed and load of the experts, as JSON Lines: one object for "
                                   "each step and each validation. null: none."),
                              "metrics.jsonl"));
  keys.push_back(path("output.report", kBench, &Deck::output, &OutputSection::report, PathUse::write,
                      "The same as a page with charts, for a browser: one HTML file that needs no other. null: none."));
  keys.push_back(path("output.report", kTrain, &Deck::output, &OutputSection::report, PathUse::write,
                      "The curves as a page for a browser: one HTML file that needs no other. null: none."));
  keys.push_back(word("output.stream", kGenerate, &Deck::output, &OutputSection::stream,
                      "Prints the text of a single prompt while it is generated; auto: on a terminal, without "
                      "output.file."));
  keys.push_back(flag("output.resume", kTexts, &Deck::output, &OutputSection::resume,
                      "Continues where output.file ends; false: overwrites it."));
  keys.push_back(real("output.grace_seconds", kTexts, &Deck::output, &OutputSection::grace_seconds, 0.0, 1e6,
                      "After SIGUSR1 (Slurm's warning), seconds to finish the sequences in flight before stopping."));
  keys.push_back(path("output.expert_load", kTexts, &Deck::output, &OutputSection::expert_load, PathUse::write,
                      "JSON file for how often each expert was chosen, for m2 --make-placement. null: not counted."));
}

void add_parallel_keys(std::vector<DeckKey>& keys) {
  constexpr auto kSection = &Deck::parallel;
  keys.push_back(whole("parallel.expert", kEvery, kSection, &ParallelSection::expert, 1, 1 << 16,
                       "Ranks that share the experts of a layer; must divide the number of ranks. null: all ranks."));
  keys.push_back(path("parallel.placement", kEvery, kSection, &ParallelSection::placement, PathUse::read,
                      "JSON file of m2 --make-placement: which of these ranks hold which expert. null: evenly."));
  keys.push_back(word("parallel.combine", kEvery, kSection, &ParallelSection::combine,
                      "exact: each expert's answer returns by itself, so that no bit depends on the number of ranks; "
                      "reduced: summed on the experts' rank first, fewer bytes."));
  keys.push_back(word("parallel.overlap", kEvery, kSection, &ParallelSection::overlap,
                      "Exchanges tokens while experts work on those before; auto: off, because it only helps where "
                      "the network is slow."));
  keys.push_back(whole("parallel.tokens_per_exchange", kEvery, kSection, &ParallelSection::tokens_per_exchange, 1,
                       1 << 20,
                       "Tokens of each rank in one exchange. Costs memory, changes no result. null: batch.max_tokens "
                       "divided by the ranks that share experts, halved with overlap, at least 16."));
  keys.push_back(word("io.shared_reads", kEvery, &Deck::io, &IoSection::shared_reads,
                      "Reads what every rank needs once and passes it on, instead of on every rank; auto: with several "
                      "hosts."));
  keys.push_back(whole("io.read_mib", kEvery, &Deck::io, &IoSection::read_mib, 1, 1024,
                       "MiB (1024^2 bytes) read at a time, at most."));
}

void add_backend_keys(std::vector<DeckKey>& keys) {
  constexpr auto kSection = &Deck::backend;
  keys.push_back(
      word("backend.linear", kEvery, kSection, &BackendConfig::linear,
           "Implementation of the matrix products of the projections and of the head; auto: kokkos for every size, "
           "so that a token's bits do not depend on the batch. onednn has no FP8."));
  keys.push_back(word("backend.experts", kEvery, kSection, &BackendConfig::experts,
                      "Implementation of the matrix products of the experts; auto and onednn as for linear."));
  keys.push_back(word("backend.rms_norm", kEvery, kSection, &BackendConfig::rms_norm,
                      "Rounds to the storage type after the multiplication with the weight (more exact), or before it "
                      "as transformers does."));
  keys.push_back(word("backend.rope_tables", kEvery, kSection, &BackendConfig::rope_tables,
                      "Type of the tables of sines and cosines; bfloat16 is what transformers and vLLM use."));
  keys.push_back(word("backend.gate_precision", kEvery, kSection, &BackendConfig::gate_precision,
                      "Type in which the router computes."));
  keys.push_back(
      word("backend.dispatcher", kEvery, kSection, &BackendConfig::dispatcher,
           "How tokens reach their experts; local: all are in this process; all_to_all: ranks exchange tokens."));
  keys.push_back(flag("backend.fake_balanced_gate", kEvery, kSection, &BackendConfig::fake_balanced_gate,
                      "For benchmarks: ignores the router and spreads the tokens evenly. The text is nonsense."));
  keys.push_back(real("backend.fake_gate_noise", kEvery, kSection, &BackendConfig::fake_gate_noise, 0.0, 1.0,
                      "How unevenly the fake gate spreads them; 0: evenly."));
}

}  // namespace
}  // namespace deck_key

const std::vector<DeckKey>& deck_keys() {
  using namespace deck_key;
  static const std::vector<DeckKey> keys = [] {
    std::vector<DeckKey> all{job_key()};
    add_model_keys(all);
    add_prompt_keys(all);
    add_data_keys(all);
    add_training_keys(all);
    add_sampling_keys(all);
    add_bench_keys(all);
    add_run_keys(all);
    add_parallel_keys(all);
    add_backend_keys(all);
    return all;
  }();
  return keys;
}

}  // namespace m2
