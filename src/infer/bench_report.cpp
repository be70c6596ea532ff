// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <vector>

#include "core/byte_size.hpp"
#include "infer/bench_charts.hpp"
#include "infer/bench_print.hpp"
#include "infer/describe_model.hpp"

namespace m2 {
namespace {

constexpr const char* kHead = R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>KokkosM2 bench</title>
<style>
body { font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: #111827; background: #ffffff;
       max-width: 1040px; margin: 24px auto; padding: 0 20px; }
h1 { font-size: 24px; margin: 0 0 4px; }
h2 { font-size: 18px; margin: 32px 0 8px; }
p { margin: 4px 0; color: #374151; }
table { border-collapse: collapse; margin: 12px 0; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 10px; border-bottom: 1px solid #e5e7eb; text-align: right; }
th { border-bottom: 2px solid #9ca3af; font-weight: 600; }
th:first-child, td:first-child { text-align: left; }
svg { max-width: 100%; height: auto; font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
</style>
</head>
<body>
)";

using Row = std::vector<std::string>;

std::string table(const Row& header, const std::vector<Row>& rows) {
  const auto line = [](const Row& cells, const char* tag) {
    std::string text = "<tr>";
    for (const std::string& cell : cells) text += fmt::format("<{0}>{1}</{0}>", tag, html_text(cell));
    return text + "</tr>\n";
  };
  std::string text = "<table>\n<thead>\n" + line(header, "th") + "</thead>\n<tbody>\n";
  for (const Row& row : rows) text += line(row, "td");
  return text + "</tbody>\n</table>\n";
}

std::string paragraph(const std::string& text) { return "<p>" + html_text(text) + "</p>\n"; }

std::string facts(const BenchResult& result) {
  const BenchMachine& machine = result.machine;
  std::string text = "<h1>KokkosM2 bench</h1>\n";
  if (result.model) {
    text += paragraph(fmt::format("{}. {}; weights {}, computes in {}.", result.model->description,
                                  result.model->source, name(result.model->weight_dtype), name(result.model->dtype)));
  }
  text += paragraph(fmt::format("{}, {}, {}, {}{}. m2 {}, {}.", machine.host, machine.processor, machine.space,
                                counted(machine.num_threads, "thread"),
                                machine.num_ranks > 1 ? fmt::format(" on each of {} ranks", machine.num_ranks) : "",
                                machine.version, machine.date));
  return text;
}

std::string speed_table(const BenchResult& result) {
  std::vector<Row> rows;
  for (const BenchPhase& phase : result.phases) {
    const Spread speed = phase.tokens_per_second();
    const Rates rates = rates_of(phase.cost, spread_of(phase.seconds).median, result.ceilings, result.dtype);
    rows.push_back({phase.name + ": " + phase_work(phase, result), fmt::format("{:.1f}", speed.median),
                    fmt::format("{:.1f} .. {:.1f}", speed.least, speed.most), giga_text(rates.flop_per_second),
                    share_text(rates.peak_share), giga_text(rates.bytes_per_second),
                    share_text(rates.bandwidth_share)});
  }
  return table({"", "tokens/s", "min .. max", "GFLOP/s", "of peak", "GB/s", "of read"}, rows);
}

std::string ceilings_table(const BenchResult& result) {
  const Ceilings &before = result.ceilings, &after = result.ceilings_after;
  const auto bfloat16 = [](const Ceilings& ceilings) {
    return ceilings.bfloat16_flop_per_second ? giga_text(*ceilings.bfloat16_flop_per_second) + " GFLOP/s"
                                             : "not available";
  };
  return table({"ceiling", "before", "at the end"},
               {{"memory, read by all threads", giga_text(before.read_bytes_per_second) + " GB/s",
                 giga_text(after.read_bytes_per_second) + " GB/s"},
                {"float32, " + before.float32_instructions, giga_text(before.float32_flop_per_second) + " GFLOP/s",
                 giga_text(after.float32_flop_per_second) + " GFLOP/s"},
                {"bfloat16, " + before.bfloat16_instructions, bfloat16(before), bfloat16(after)}});
}

std::string model_table(const BenchResult& result) {
  const BenchModelFacts& model = *result.model;
  const auto bytes = [](std::int64_t count) { return byte_size_text(std::uint64_t(count)); };
  return table({"model", ""}, {{"loading", seconds_text(model.load_seconds)},
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
  std::vector<Row> rows;
  for (const OperationLog::Entry& entry : phase.operations) {
    const Rates rates = rates_of(entry.cost, entry.seconds, result.rank_ceilings, result.dtype);
    rows.push_back({entry.label(), fmt::format("{}", entry.calls), seconds_text(entry.seconds),
                    fmt::format("{:.1f} %", 100.0 * entry.seconds / phase.timed_seconds),
                    giga_text(rates.flop_per_second), giga_text(rates.bytes_per_second),
                    share_text(rates.roof_share())});
  }
  return table({"operation", "calls", "time", "share", "GFLOP/s", "GB/s", "of roof"}, rows);
}

std::string case_table(const BenchResult& result) {
  std::vector<Row> rows;
  for (const BenchCase& one : result.cases) {
    const Rates rates = rates_of(one.cost, one.seconds.median, result.rank_ceilings, one.peak_dtype());
    rows.push_back({one.operation + ", " + one.shape, std::string(name(one.weights)), seconds_text(one.seconds.median),
                    giga_text(rates.flop_per_second), giga_text(rates.bytes_per_second),
                    share_text(rates.roof_share())});
  }
  return "<h2>Single operations</h2>\n" + table({"operation", "weights", "time", "GFLOP/s", "GB/s", "of roof"}, rows);
}

}  // namespace

std::string bench_report(const BenchResult& result) {
  std::string text = kHead + facts(result);
  if (!result.phases.empty()) text += "<h2>Speed</h2>\n" + speed_table(result);
  text += "<h2>Ceilings and memory</h2>\n" + ceilings_table(result);
  if (result.model) text += model_table(result);
  if (!result.phases.empty()) {
    text += "<h2>Roofline</h2>\n" +
            paragraph(
                "Each dot is an operation, by the FLOP and bytes it needs at least; those below 0.2 % of the time are "
                "left out. The lines are what this "
                "process reached just before: no dot can lie above them for long.") +
            roofline_svg(result);
  }
  for (const BenchPhase& phase : result.phases) {
    text += fmt::format("<h2>{}: {}</h2>\n", phase.name == "prefill" ? "Prefill" : "Decode",
                        html_text(phase_work(phase, result)));
    text +=
        paragraph(fmt::format("Time by operation in one more pass of {}, with a wait around each{}.",
                              seconds_text(phase.timed_seconds), result.machine.num_ranks > 1 ? ", on rank 0" : ""));
    text += time_bars_svg(phase, result) + operation_table(phase, result);
  }
  if (!result.cases.empty()) text += case_table(result);
  return text + "</body>\n</html>\n";
}

}  // namespace m2
