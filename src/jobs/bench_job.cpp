// SPDX-License-Identifier: Apache-2.0
#include "jobs/bench_job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "bench/json.hpp"
#include "bench/machine.hpp"
#include "bench/operations.hpp"
#include "bench/page.hpp"
#include "bench/passes.hpp"
#include "bench/tables.hpp"
#include "config/describe_model.hpp"
#include "core/error.hpp"
#include "core/plural.hpp"
#include "core/print.hpp"
#include "core/stopwatch.hpp"
#include "io/file.hpp"
#include "jobs/bench_training.hpp"
#include "jobs/job_model.hpp"
#include "jobs/memory_plan.hpp"

namespace m2 {
namespace {

void say(const Communicator& world, const std::string& what) {
  if (world.rank() == 0) fmt::print(stderr, "m2: {}\n", what);
}

// The files a bench job writes, opened before the work: a folder that is not there is then found at once.
class OutputFiles {
 public:
  OutputFiles(const OutputSection& output, const Communicator& world) {
    if (world.rank() != 0) return;
    if (output.file) json_.emplace(*output.file);
    if (output.report) report_.emplace(*output.report);
  }

  void write(const BenchResult& result) {
    if (json_) publish(*json_, bench_json(result).dump(2) + "\n");
    if (report_) publish(*report_, bench_page(result));
  }

 private:
  static void publish(PendingFile& file, const std::string& text) {
    file.file().write_at(0, std::as_bytes(std::span(text)));
    file.publish();
  }

  std::optional<PendingFile> json_, report_;
};

// The deck with the sizes of its passes where the other jobs have theirs.
Deck with_batch(Deck deck) {
  deck.batch.max_tokens = BenchPasses::max_pass_tokens(deck.bench);
  deck.batch.max_sequences = deck.bench.batch;
  return deck;
}

void require_positions(const BenchSection& bench, const MiniMaxM2Config& config) {
  const std::int64_t longest = std::ranges::max(BenchPasses::lengths(bench));
  if (longest <= config.max_position_embeddings) return;
  raise_usage(
      "bench: {} positions, the model has {}; lower bench.prompt_tokens, or bench.context and bench.generated_tokens",
      longest, config.max_position_embeddings);
}

std::string work_text(const BenchSection& bench) {
  return fmt::format("bench: a prompt of {}; {} for {} at once after {}; {}", counted(bench.prompt_tokens, "token"),
                     counted(bench.generated_tokens, "token"), counted(bench.batch, "sequence"), bench.context,
                     counted(bench.repeats, "repeat"));
}

void measure_model(const Deck& deck, JobModel& job, const MemoryPlan& plan, Communicator& world, BenchResult& result) {
  MiniMaxM2ForCausalLM& model = job.model();
  BenchModelFacts& facts = result.model.emplace();
  facts.source = job.source() ? job.source()->path() : *deck.model.config + " with random weights";
  facts.description = describe_model(model.config());
  facts.dtype = model.dtype();
  facts.weight_bytes = plan.total_weight_bytes();
  facts.buffer_bytes = plan.buffer_bytes;
  facts.kv_bytes = plan.kv_bytes;

  const Stopwatch loading;
  job.load();
  model.exec().fence("m2::bench: the model is loaded");
  facts.load_seconds = loading.seconds();
  facts.weight_dtype = model.model.layers[0].mlp.experts.down.dtype();
  model.reserve(deck.batch.max_tokens, deck.batch.max_sequences);
  KVCache cache = make_cache(plan, model);
  BenchPasses passes(model, cache, deck.bench, world.rank());

  say(world, "measuring prefill");
  const Stopwatch first_pass;
  passes.prefill();
  facts.first_pass_seconds = first_pass.seconds();
  const int repeats = deck.bench.repeats;
  result.phases.push_back(
      measure_phase("prefill", deck.bench.prompt_tokens, [&] { passes.prefill(); }, repeats, world));
  say(world, "measuring decode");
  passes.fill_context();
  passes.decode(1);  // nothing is warm
  const int num_tokens = deck.bench.generated_tokens;
  result.phases.push_back(measure_phase(
      "decode", std::int64_t(num_tokens) * deck.bench.batch, [&] { passes.decode(num_tokens); }, repeats, world));
  facts.resident = resident_memory();
  if (!deck.bench.train) return;
  say(world, "measuring training steps");
  measure_training(model, deck.bench, world, result);
}

// What is measured before the model takes its memory.
void measure_machine(const Deck& deck, const ExecSpace& exec, Communicator& world, BenchResult& result) {
  say(world, "measuring what the machine can do");
  result.machine = describe_machine(exec, world);
  const RankCeilings ceilings = measure_ceilings_of_ranks(exec, world);
  result.ceilings = ceilings.all;
  result.rank_ceilings = ceilings.first;
  if (!deck.bench.operations) return;
  say(world, "measuring single operations");
  result.cases = measure_operations(exec, result.dtype, deck.bench.repeats);
}

}  // namespace

void run_bench(const Deck& given, Communicator& world, bool check_only) {
  const Deck deck = with_batch(given);
  if (deck.bench.operations && world.size() > 1) {
    raise_usage("bench.operations: measures one process, and there are several ranks; start it without mpirun");
  }
  if (deck.bench.train && world.size() > 1) {
    raise_usage("bench.train: training runs on one process, and there are several ranks; start it without mpirun");
  }
  std::optional<JobModel> job;
  MemoryPlan plan;
  BenchResult result;
  result.settings = deck.bench;
  if (deck.model.dtype == ComputeDType::float32) result.dtype = DType::float32;
  if (deck.model.checkpoint || deck.model.config) {
    MiniMaxM2ForCausalLM& model = job.emplace(deck, world).model();
    require_positions(deck.bench, model.config());
    result.dtype = model.dtype();
    plan = plan_memory(model, BenchPasses::lengths(deck.bench),
                       model.workspace_bytes(deck.batch.max_tokens, deck.batch.max_sequences), deck, world);
    if (check_only) print_plan(plan, deck, *job, work_text(deck.bench), world);
    require_memory(plan);
  } else if (check_only) {
    print_now("job         bench: single operations, without a model\n");
  }
  if (check_only) return;
  OutputFiles files(deck.output, world);
  const ExecSpace exec = job ? job->model().exec() : ExecSpace();
  measure_machine(deck, exec, world, result);
  if (job) measure_model(deck, *job, plan, world, result);
  result.ceilings_after = measure_ceilings_of_ranks(exec, world).all;
  if (world.rank() != 0) return;
  print_now(bench_tables(result));
  files.write(result);
}

}  // namespace m2
