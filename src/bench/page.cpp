// SPDX-License-Identifier: Apache-2.0
#include "bench/page.hpp"

#include <fmt/format.h>

#include <cctype>
#include <vector>

#include "bench/roofline.hpp"
#include "bench/texts.hpp"
#include "bench/time_bars.hpp"
#include "core/byte_size.hpp"
#include "core/plural.hpp"
#include "report/html.hpp"

namespace m2 {
namespace {

std::string facts(const BenchResult& result) {
  const BenchMachine& machine = result.machine;
  std::string text = "<h1>KokkosM2 bench</h1>\n";
  if (result.model) {
    text +=
        html_paragraph(fmt::format("{}. {}; weights {}, computes in {}.", result.model->description,
                                   result.model->source, name(result.model->weight_dtype), name(result.model->dtype)));
  }
  text +=
      html_paragraph(fmt::format("{}, {}, {}, {}{}. m2 {}, {}.", machine.host, machine.processor, machine.space,
                                 counted(machine.num_threads, "thread"),
                                 machine.num_ranks > 1 ? fmt::format(" on each of {} ranks", machine.num_ranks) : "",
                                 machine.version, machine.date));
  return text;
}

std::string speed_table(const BenchResult& result) {
  std::vector<HtmlRow> rows;
  for (const BenchPhase& phase : result.phases) {
    const Spread speed = phase.tokens_per_second();
    const Rates rates = rates_of(phase.cost, spread_of(phase.seconds).median, result.ceilings, result.dtype);
    rows.push_back({phase.name + ": " + phase_work(phase, result), fmt::format("{:.1f}", speed.median),
                    fmt::format("{:.1f} .. {:.1f}", speed.least, speed.most), giga_text(rates.flop_per_second),
                    share_text(rates.peak_share), giga_text(rates.bytes_per_second),
                    share_text(rates.bandwidth_share)});
  }
  return html_table({"", "tokens/s", "min .. max", "GFLOP/s", "of peak", "GB/s", "of read"}, rows);
}

std::string ceilings_table(const BenchResult& result) {
  const Ceilings &before = result.ceilings, &after = result.ceilings_after;
  const auto bfloat16 = [](const Ceilings& ceilings) {
    return ceilings.bfloat16_flop_per_second ? giga_text(*ceilings.bfloat16_flop_per_second) + " GFLOP/s"
                                             : "not available";
  };
  return html_table({"ceiling", "before", "at the end"},
                    {{"memory, read by all threads", giga_text(before.read_bytes_per_second) + " GB/s",
                      giga_text(after.read_bytes_per_second) + " GB/s"},
                     {"float32, " + before.float32_instructions, giga_text(before.float32_flop_per_second) + " GFLOP/s",
                      giga_text(after.float32_flop_per_second) + " GFLOP/s"},
                     {"bfloat16, " + before.bfloat16_instructions, bfloat16(before), bfloat16(after)}});
}

std::string model_table(const BenchResult& result) {
  const BenchModelFacts& model = *result.model;
  const auto bytes = [](std::int64_t count) { return byte_size_text(std::uint64_t(count)); };
  return html_table({"model", ""},
                    {{"loading", seconds_text(model.load_seconds)},
                     {"first pass, nothing warm", seconds_text(model.first_pass_seconds)},
                     {"time to first token", seconds_text(spread_of(result.phases.at(0).seconds).median)},
                     {"weights", bytes(model.weight_bytes)},
                     {"KV cache", bytes(model.kv_bytes)},
                     {"buffers", bytes(model.buffer_bytes)},
                     {"resident memory", bytes(model.resident.now_bytes)},
                     {"over weights, KV cache and buffers",
                      share_text(double(model.resident.now_bytes) / double(model.declared_bytes()))}});
}

std::string operation_table(const BenchPhase& phase, const BenchResult& result) {
  std::vector<HtmlRow> rows;
  for (const OperationLog::Entry& entry : phase.operations) {
    const Rates rates = rates_of(entry.cost, entry.seconds, result.rank_ceilings, result.dtype);
    rows.push_back({entry.label(), fmt::format("{}", entry.calls), seconds_text(entry.seconds),
                    fmt::format("{:.1f} %", 100.0 * entry.seconds / phase.timed_seconds),
                    giga_text(rates.flop_per_second), giga_text(rates.bytes_per_second),
                    share_text(rates.roof_share())});
  }
  return html_table({"operation", "calls", "time", "share", "GFLOP/s", "GB/s", "of roof"}, rows);
}

std::string case_table(const BenchResult& result) {
  std::vector<HtmlRow> rows;
  for (const BenchCase& one : result.cases) {
    const Rates rates = rates_of(one.cost, one.seconds.median, result.rank_ceilings, one.peak_dtype());
    rows.push_back({one.operation + ", " + one.shape, std::string(name(one.weights)), seconds_text(one.seconds.median),
                    giga_text(rates.flop_per_second), giga_text(rates.bytes_per_second),
                    share_text(rates.roof_share())});
  }
  return "<h2>Single operations</h2>\n" +
         html_table({"operation", "weights", "time", "GFLOP/s", "GB/s", "of roof"}, rows);
}

}  // namespace

std::string bench_page(const BenchResult& result) {
  std::string text = facts(result);
  if (!result.phases.empty()) text += "<h2>Speed</h2>\n" + speed_table(result);
  text += "<h2>Ceilings and memory</h2>\n" + ceilings_table(result);
  if (result.model) text += model_table(result);
  if (!result.phases.empty()) {
    text += "<h2>Roofline</h2>\n" +
            html_paragraph(
                "Each dot is an operation, by the FLOP and bytes it needs at least; those below 0.2 % of the time are "
                "left out. The lines are what this "
                "process reached just before: no dot can lie above them for long.") +
            roofline_svg(result);
  }
  for (const BenchPhase& phase : result.phases) {
    std::string title = phase.name;
    title[0] = char(std::toupper(static_cast<unsigned char>(title[0])));
    text += fmt::format("<h2>{}: {}</h2>\n", title, html_text(phase_work(phase, result)));
    text += html_paragraph(fmt::format("Time by operation in one more pass of {}, with a wait around each{}.",
                                       seconds_text(phase.timed_seconds),
                                       result.machine.num_ranks > 1 ? ", on rank 0" : ""));
    text += time_bars_svg(phase, result) + operation_table(phase, result);
  }
  if (!result.cases.empty()) text += case_table(result);
  return html_page("KokkosM2 bench", text);
}

}  // namespace m2
