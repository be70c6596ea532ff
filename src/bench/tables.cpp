// SPDX-License-Identifier: Apache-2.0
#include "bench/tables.hpp"

#include <fmt/format.h>

#include "bench/texts.hpp"
#include "core/byte_size.hpp"
#include "core/plural.hpp"

namespace m2 {
namespace {

std::string ceilings_text(const Ceilings& ceilings, int num_ranks) {
  std::string text = fmt::format("read {} GB/s, float32 {} GFLOP/s ({}), ", giga_text(ceilings.read_bytes_per_second),
                                 giga_text(ceilings.float32_flop_per_second), ceilings.float32_instructions);
  text += ceilings.bfloat16_flop_per_second
              ? fmt::format("bfloat16 {} GFLOP/s ({})", giga_text(*ceilings.bfloat16_flop_per_second),
                            ceilings.bfloat16_instructions)
              : "bfloat16 not available: its instructions are missing or not known, float32 stands in";
  return text + (num_ranks > 1 ? ", all ranks together" : "");
}

std::string memory_text(const BenchModelFacts& model, int num_ranks) {
  const auto text = [](std::int64_t bytes) { return byte_size_text(std::uint64_t(bytes)); };
  return fmt::format("resident {} = {:.3f} x {} (weights {}, KV cache {}, buffers {}){}",
                     text(model.resident.now_bytes), double(model.resident.now_bytes) / double(model.declared_bytes()),
                     text(model.declared_bytes()), text(model.weight_bytes), text(model.kv_bytes),
                     text(model.buffer_bytes), num_ranks > 1 ? ", rank 0" : "");
}

std::string head(const BenchResult& result) {
  const BenchMachine& machine = result.machine;
  std::string text;
  const auto row = [&](std::string_view key, const std::string& value) {
    text += fmt::format("{:<10}{}\n", key, value);
  };
  if (result.model) row("model", result.model->description);
  if (result.model) {
    row("", fmt::format("{}; weights {}, computes in {}", result.model->source, name(result.model->weight_dtype),
                        name(result.model->dtype)));
  }
  row("machine", fmt::format("{}, {}, {}, {}{}", machine.host, machine.processor, machine.space,
                             counted(machine.num_threads, "thread"),
                             machine.num_ranks > 1 ? fmt::format(" on each of {} ranks", machine.num_ranks) : ""));
  row("run", fmt::format("m2 {}, {}, {}", machine.version, machine.date, counted(result.settings.repeats, "repeat")));
  row("ceilings", ceilings_text(result.ceilings, machine.num_ranks));
  row("", "at the end " + ceilings_text(result.ceilings_after, machine.num_ranks));
  if (result.model) {
    row("memory", memory_text(*result.model, machine.num_ranks));
    row("start", fmt::format("loaded in {}, first pass {}", seconds_text(result.model->load_seconds),
                             seconds_text(result.model->first_pass_seconds)));
  }
  return text;
}

std::string phase_rows(const BenchResult& result) {
  std::string text = fmt::format("\n{:<46}{:>10}{:>22}{:>10}{:>9}{:>8}{:>10}\n", "", "tokens/s", "min .. max",
                                 "GFLOP/s", "of peak", "GB/s", "of read");
  for (const BenchPhase& phase : result.phases) {
    const Spread speed = phase.tokens_per_second();
    const Rates rates = rates_of(phase.cost, spread_of(phase.seconds).median, result.ceilings, result.dtype);
    text += fmt::format("{:<46}{:>10.1f}{:>22}{:>10}{:>9}{:>8}{:>10}\n", phase.name + ": " + phase_work(phase, result),
                        speed.median, fmt::format("{:.1f} .. {:.1f}", speed.least, speed.most),
                        giga_text(rates.flop_per_second), share_text(rates.peak_share),
                        giga_text(rates.bytes_per_second), share_text(rates.bandwidth_share));
  }
  for (const BenchPhase& phase : result.phases) {
    if (phase.name != "prefill") continue;
    const Spread seconds = spread_of(phase.seconds);
    text += fmt::format("time to first token of a prompt of {}: {} ({} .. {})\n", result.settings.prompt_tokens,
                        seconds_text(seconds.median), seconds_text(seconds.least), seconds_text(seconds.most));
  }
  return text;
}

std::string operation_rows(const BenchPhase& phase, const BenchResult& result) {
  std::string text = fmt::format("\n{} by operation: one more pass, {} with a wait around each{}\n", phase.name,
                                 seconds_text(phase.timed_seconds), result.machine.num_ranks > 1 ? ", rank 0" : "");
  text += fmt::format("{:<34}{:>8}{:>11}{:>9}{:>11}{:>9}{:>10}\n", "", "calls", "time", "share", "GFLOP/s", "GB/s",
                      "of roof");
  const auto row = [&](const std::string& label, const std::string& calls, double seconds, const std::string& flop,
                       const std::string& bytes, const std::string& roof) {
    text += fmt::format("{:<34}{:>8}{:>11}{:>8.1f}%{:>11}{:>9}{:>10}\n", label, calls, seconds_text(seconds),
                        100.0 * seconds / phase.timed_seconds, flop, bytes, roof);
  };
  for (const OperationLog::Entry& entry : phase.operations) {
    const Rates rates = rates_of(entry.cost, entry.seconds, result.rank_ceilings, result.dtype);
    row(entry.label(), fmt::format("{}", entry.calls), entry.seconds, giga_text(rates.flop_per_second),
        giga_text(rates.bytes_per_second), share_text(rates.roof_share()));
  }
  row("between operations", "", seconds_between(phase), "", "", "");
  return text;
}

std::string case_rows(const BenchResult& result) {
  std::string text = fmt::format("\n{:<14}{:<45}{:<15}{:>9}{:>20}{:>10}{:>8}{:>9}\n", "operation", "", "weights",
                                 "time", "min .. max", "GFLOP/s", "GB/s", "of roof");
  for (const BenchCase& one : result.cases) {
    const Rates rates = rates_of(one.cost, one.seconds.median, result.rank_ceilings, one.peak_dtype());
    text += fmt::format(
        "{:<14}{:<45}{:<15}{:>9}{:>20}{:>10}{:>8}{:>9}\n", one.operation, one.shape, name(one.weights),
        seconds_text(one.seconds.median), seconds_text(one.seconds.least) + " .. " + seconds_text(one.seconds.most),
        giga_text(rates.flop_per_second), giga_text(rates.bytes_per_second), share_text(rates.roof_share()));
  }
  return text;
}

}  // namespace

std::string bench_tables(const BenchResult& result) {
  std::string text = head(result);
  if (!result.phases.empty()) text += phase_rows(result);
  for (const BenchPhase& phase : result.phases) text += operation_rows(phase, result);
  if (!result.phases.empty() || !result.cases.empty()) {
    text += fmt::format(
        "\nof peak: of the measured {} peak; of read: of the measured read bandwidth; of roof: the larger of the two.\n"
        "Bytes and FLOP are the least an operation needs: every array once, of the experts those that have rows.\n",
        peak_name(result.ceilings, result.dtype));
  }
  if (!result.cases.empty()) text += case_rows(result);
  return text;
}

}  // namespace m2
