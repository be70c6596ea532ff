// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/load/pretrained.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "checkpoint/formats/open_checkpoint.hpp"
#include "checkpoint/load/parallel_load.hpp"
#include "core/byte_size.hpp"
#include "core/error.hpp"
#include "core/memory.hpp"
#include "io/shape.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"

namespace m2 {
namespace {

constexpr std::uint64_t kWorthALineBytes = 1'000'000'000;  // a load of so much tells its rate, however short it was

// A parameter and the tensor that fills it.
struct StoredParameter {
  Parameter* parameter;
  const StoredTensor* stored;
};

std::vector<StoredParameter> pair_up(const TensorSource& source, std::vector<Parameter>& parameters) {
  std::unordered_map<std::string_view, Parameter*> by_name;
  for (Parameter& parameter : parameters) by_name.emplace(parameter.name(), &parameter);
  std::vector<StoredParameter> pairs;
  for (const StoredTensor& tensor : source.tensors()) {
    if (tensor.is_scale) continue;
    const auto found = by_name.find(tensor.name);
    M2_REQUIRE(found != by_name.end(), "'{}' holds {}, which the model does not have", source.path(), tensor.name);
    Parameter& parameter = *found->second;
    M2_REQUIRE(parameter.schema.shape == tensor.shape, "'{}': {} has shape {}, the model expects {}", source.path(),
               tensor.name, shape_text(tensor.shape), shape_text(parameter.schema.shape));
    pairs.push_back({&parameter, &tensor});
    by_name.erase(found);
  }
  M2_REQUIRE(by_name.empty(), "'{}' does not hold {}, which the model needs", source.path(), by_name.begin()->first);
  return pairs;
}

std::int64_t total_bytes(const std::vector<StoredParameter>& pairs, DType compute_dtype) {
  std::int64_t bytes = 0;
  for (const auto& [parameter, stored] : pairs) {
    bytes += parameter->storage_bytes(held_dtype(parameter->schema, stored->dtype, compute_dtype));
  }
  return bytes;
}

// The other ranks, as far as loading goes.
struct Neighbours {
  Communicator* world = nullptr;  // if there are any
  std::unique_ptr<Communicator> host;
  int num_on_host = 1;

  explicit Neighbours(Communicator* ranks) {
    if (ranks == nullptr || ranks->size() == 1) return;
    world = ranks;
    host = world->split_by_host();
    num_on_host = host->size();
  }
  bool are_on_several_hosts() const { return world != nullptr && num_on_host < world->size(); }
};

// All ranks of a host allocate at the same time.
void require_memory(const TensorSource& source, std::int64_t needed_bytes, const Neighbours& neighbours) {
  if (!kHostReachesParameters) return;  // an allocation that a device refuses is an error of its own
  std::vector<std::int64_t> numbers{needed_bytes, available_memory_bytes()};
  if (neighbours.host) numbers = neighbours.host->all_gather_values(numbers);
  std::int64_t available_bytes = numbers[1];
  needed_bytes = 0;
  for (std::size_t i = 0; i < numbers.size(); i += 2) {
    needed_bytes += numbers[i];
    available_bytes = std::min(available_bytes, numbers[i + 1]);
  }
  M2_REQUIRE(needed_bytes <= available_bytes,
             "the parameters of '{}' need {} of memory{}, and {} are available: use {}, or a checkpoint with smaller "
             "weights (m2-convert export --dtype float8)",
             source.path(), byte_size_text(std::uint64_t(needed_bytes)),
             neighbours.host ? fmt::format(" for the {} ranks of a host", neighbours.num_on_host) : "",
             byte_size_text(std::uint64_t(available_bytes)), neighbours.host ? "more hosts" : "a machine with more");
}

// What fills the memory that begins at `begin`: the tensor's only slab, or those of the experts that are here.
void append_slabs(const TensorSource& source, const Parameter& parameter, const StoredTensor& tensor, DType dtype,
                  std::byte* begin, int panel_columns, std::vector<SlabTarget>& out) {
  const std::vector<int> slabs = tensor.is_expert_stack() ? parameter.experts : std::vector{0};
  for (const int slab : slabs) {
    M2_REQUIRE(slab >= 0 && slab < tensor.num_slabs(), "'{}': {} has no expert {}, only 0 to {}", source.path(),
               tensor.name, slab, tensor.num_slabs() - 1);
    out.push_back({{&tensor, slab}, dtype, begin, panel_columns});
    begin += out.back().memory_bytes();
  }
}

// Everything to fill, the memory allocated: what every rank holds, and the experts.
struct Targets {
  std::vector<SlabTarget> replicated, experts;
};

Targets allocate(const TensorSource& source, const std::vector<StoredParameter>& pairs, const ExecSpace& exec,
                 DType compute_dtype) {
  Targets targets;
  for (const auto& [parameter, stored] : pairs) {
    std::vector<SlabTarget>& list = stored->is_expert_stack() ? targets.experts : targets.replicated;
    const DType dtype = held_dtype(parameter->schema, stored->dtype, compute_dtype);
    const WeightLayout layout = parameter->layout(dtype);
    parameter->allocate(exec, dtype, layout);
    std::byte* const begin = parameter->vector != nullptr ? reinterpret_cast<std::byte*>(parameter->vector->data())
                                                          : parameter->weight->data();
    const int panel_columns = layout == WeightLayout::panels ? parameter->weight->num_columns() : 0;
    append_slabs(source, *parameter, *stored, dtype, begin, panel_columns, list);
    if (const StoredTensor* scales = source.scales(*stored)) {
      append_slabs(source, *parameter, *scales, DType::float32,
                   reinterpret_cast<std::byte*>(parameter->weight->scale_inv().data()), /*panel_columns=*/0, list);
    }
  }
  const auto position = [&](const SlabTarget& target) { return source.disk_position(target); };
  std::ranges::sort(targets.replicated, {}, position);
  std::ranges::sort(targets.experts, {}, position);
  exec.fence("m2::load_parameters: the memory is there");
  return targets;
}

// The ranks that hold the same experts as this one: nothing if no rank shares its experts with another.
std::unique_ptr<Communicator> ranks_with_same_experts(const std::vector<StoredParameter>& pairs, Communicator& world) {
  std::string own;
  for (const auto& [parameter, stored] : pairs) own += fmt::format("{};", fmt::join(parameter->experts, ","));
  const std::vector<std::string> all = world.all_gather_texts(own);
  if (std::unordered_set<std::string_view>(all.begin(), all.end()).size() == all.size()) return nullptr;
  return world.split(int(std::ranges::find(all, own) - all.begin()));
}

}  // namespace

LoadResult load_parameters(const TensorSource& source, std::vector<Parameter>& parameters, const ExecSpace& exec,
                           DType compute_dtype, const LoadOptions& options) {
  const std::vector<StoredParameter> pairs = pair_up(source, parameters);
  const Neighbours neighbours(options.world);
  require_memory(source, total_bytes(pairs, compute_dtype), neighbours);
  Targets targets = allocate(source, pairs, exec, compute_dtype);

  LoadPlan plan;
  std::unique_ptr<Communicator> same_experts;
  if (neighbours.world != nullptr && options.shared_reads.value_or(neighbours.are_on_several_hosts())) {
    plan.shared.emplace_back(*neighbours.world, std::exchange(targets.replicated, {}));
    same_experts = ranks_with_same_experts(pairs, *neighbours.world);
    if (same_experts && same_experts->size() > 1)
      plan.shared.emplace_back(*same_experts, std::exchange(targets.experts, {}));
  }
  plan.own = std::move(targets.replicated);
  plan.own.insert(plan.own.end(), targets.experts.begin(), targets.experts.end());
  std::ranges::sort(plan.own, {}, [&](const SlabTarget& target) { return source.disk_position(target); });

  RanksProgress progress("load", plan.bytes_read_here(), neighbours.world);
  ParallelLoad(source, exec, options.read_bytes, plan, progress).run(num_io_threads(neighbours.num_on_host));
  const LoadResult result{.bytes = progress.total_bytes(), .seconds = progress.finish()};
  if (result.bytes >= kWorthALineBytes) progress.own().print_at_end();
  return result;
}

MiniMaxM2ForCausalLM MiniMaxM2ForCausalLM::from_pretrained(const std::string& path, const ModelOptions& options) {
  const std::unique_ptr<TensorSource> source = open_checkpoint(path);
  MiniMaxM2ForCausalLM causal_lm(source->config(), options);
  std::vector<Parameter> parameters = causal_lm.parameters();
  load_parameters(*source, parameters, causal_lm.exec(), causal_lm.dtype());
  return causal_lm;
}

}  // namespace m2
