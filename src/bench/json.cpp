// SPDX-License-Identifier: Apache-2.0
#include "bench/json.hpp"

#include "bench/texts.hpp"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const Spread& spread) { return {{"median", spread.median}, {"min", spread.least}, {"max", spread.most}}; }

Json to_json(const Ceilings& ceilings) {
  const auto& bfloat16 = ceilings.bfloat16_flop_per_second;
  return {{"read_bytes_per_second", ceilings.read_bytes_per_second},
          {"float32_flop_per_second", ceilings.float32_flop_per_second},
          {"float32_instructions", ceilings.float32_instructions},
          {"bfloat16_flop_per_second", bfloat16 ? Json(*bfloat16) : Json(nullptr)},
          {"bfloat16_instructions", bfloat16 ? Json(ceilings.bfloat16_instructions) : Json(nullptr)}};
}

Json to_json(const BenchMachine& machine) {
  return {{"host", machine.host},
          {"processor", machine.processor},
          {"space", machine.space},
          {"ranks", machine.num_ranks},
          {"threads_per_rank", machine.num_threads}};
}

Json to_json(const BenchSection& settings) {
  return {{"prompt_tokens", settings.prompt_tokens},
          {"generated_tokens", settings.generated_tokens},
          {"batch", settings.batch},
          {"context", settings.context},
          {"repeats", settings.repeats},
          {"operations", settings.operations}};
}

Json to_json(const BenchModelFacts& model) {
  return {{"source", model.source},
          {"description", model.description},
          {"dtype", name(model.dtype)},
          {"weight_dtype", name(model.weight_dtype)},
          {"load_seconds", model.load_seconds},
          {"first_pass_seconds", model.first_pass_seconds},
          {"memory",
           {{"weight_bytes", model.weight_bytes},
            {"kv_bytes", model.kv_bytes},
            {"buffer_bytes", model.buffer_bytes},
            {"resident_bytes", model.resident.now_bytes},
            {"peak_resident_bytes", model.resident.peak_bytes},
            {"resident_over_declared", double(model.resident.now_bytes) / double(model.declared_bytes())}}}};
}

// Bytes, FLOP and rates of `cost` in `seconds`, appended to `json`.
void add_rates(Json& json, const OperationCost& cost, double seconds, const Ceilings& ceilings, DType dtype) {
  const Rates rates = rates_of(cost, seconds, ceilings, dtype);
  json["bytes"] = cost.bytes;
  json["flop"] = cost.flop;
  json["bytes_per_second"] = rates.bytes_per_second;
  json["flop_per_second"] = rates.flop_per_second;
  json["bandwidth_share"] = rates.bandwidth_share;
  json["peak_share"] = rates.peak_share;
  json["roof_share"] = rates.roof_share();
}

Json to_json(const BenchPhase& phase, const BenchResult& result) {
  const Spread seconds = spread_of(phase.seconds);
  Json json{{"name", phase.name}, {"tokens", phase.tokens}};
  json["tokens_per_second"] = to_json(phase.tokens_per_second());
  json["seconds"] = to_json(seconds);
  json["seconds"]["all"] = phase.seconds;
  add_rates(json, phase.cost, seconds.median, result.ceilings, result.dtype);
  json["timed_seconds"] = phase.timed_seconds;
  json["seconds_between_operations"] = seconds_between(phase);
  Json& operations = json["operations"] = Json::array();
  for (const OperationLog::Entry& entry : phase.operations) {
    Json& one = operations.emplace_back(Json{{"place", entry.place}, {"operation", entry.operation}});
    one["calls"] = entry.calls;
    one["seconds"] = entry.seconds;
    one["share"] = entry.seconds / phase.timed_seconds;
    add_rates(one, entry.cost, entry.seconds, result.rank_ceilings, result.dtype);
  }
  return json;
}

Json to_json(const BenchCase& one, const BenchResult& result) {
  Json json{{"operation", one.operation},
            {"shape", one.shape},
            {"activations", name(one.activations)},
            {"weights", name(one.weights)},
            {"seconds", to_json(one.seconds)}};
  add_rates(json, one.cost, one.seconds.median, result.rank_ceilings, one.peak_dtype());
  return json;
}

}  // namespace

Json bench_json(const BenchResult& result) {
  Json json{{"m2_version", result.machine.version}, {"date", result.machine.date}};
  json["machine"] = to_json(result.machine);
  json["settings"] = to_json(result.settings);
  json["ceilings"] = to_json(result.ceilings);
  json["ceilings_after"] = to_json(result.ceilings_after);
  json["rank_ceilings"] = to_json(result.rank_ceilings);
  json["peak"] = peak_name(result.ceilings, result.dtype);
  json["model"] = result.model ? to_json(*result.model) : Json(nullptr);
  json["phases"] = Json::array();
  for (const BenchPhase& phase : result.phases) json["phases"].push_back(to_json(phase, result));
  json["operations"] = Json::array();
  for (const BenchCase& one : result.cases) json["operations"].push_back(to_json(one, result));
  return json;
}

}  // namespace m2
