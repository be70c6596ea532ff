// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/peft_adapter.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <span>

#include "checkpoint/formats/adapter_config.hpp"
#include "checkpoint/formats/path_in.hpp"
#include "checkpoint/formats/pending_folder.hpp"
#include "core/error.hpp"
#include "core/host_copy.hpp"
#include "io/file.hpp"
#include "io/safetensors_writer.hpp"
#include "io/shape.hpp"

namespace m2 {
namespace {

constexpr std::string_view kConfigName = "adapter_config.json", kTensorsName = "adapter_model.safetensors";
constexpr std::string_view kPrefix = "base_model.model.", kSuffixA = ".lora_A.weight", kSuffixB = ".lora_B.weight";
constexpr std::size_t kMaxDefects = 10;

// Sizes of an adapter: E matrices (1 if it is no stack) of out x in, rank J.
struct Sizes {
  std::int64_t matrices, out, in, rank;

  Sizes(const ParameterSchema& base, std::int64_t rank_of_adapter)
      : matrices(base.is_expert_stack() ? base.shape[0] : 1),
        out(base.shape.end()[-2]),
        in(base.shape.end()[-1]),
        rank(rank_of_adapter) {}
};

// (N, J E), ranks outside, to (E, J, N).
std::vector<float> from_rank_major(std::span<const float> values, const Sizes& n, std::int64_t width) {
  std::vector<float> out(values.size());
  for (std::int64_t row = 0; row < width; ++row) {
    for (std::int64_t j = 0; j < n.rank; ++j) {
      for (std::int64_t e = 0; e < n.matrices; ++e)
        out[(e * n.rank + j) * width + row] = values[(row * n.rank + j) * n.matrices + e];
    }
  }
  return out;
}

// The inverse.
std::vector<float> to_rank_major(std::span<const float> values, const Sizes& n, std::int64_t width) {
  std::vector<float> out(values.size());
  for (std::int64_t row = 0; row < width; ++row) {
    for (std::int64_t j = 0; j < n.rank; ++j) {
      for (std::int64_t e = 0; e < n.matrices; ++e)
        out[(row * n.rank + j) * n.matrices + e] = values[(e * n.rank + j) * width + row];
    }
  }
  return out;
}

bool takes_adapter(const ParameterSchema& schema) {
  const bool is_adapted = schema.kind == ParameterKind::attention || schema.kind == ParameterKind::experts ||
                          schema.kind == ParameterKind::router || schema.kind == ParameterKind::head;
  return is_adapted && !schema.is_vector();
}

// The modules that may hold the adapter of a parameter in PEFT's files.
std::vector<std::string> possible_modules(const ParameterSchema& base) {
  const std::string module = adapted_module(base.name);
  if (!base.is_expert_stack()) return {module};
  const std::string experts = module.substr(0, module.rfind('.'));
  return {experts + ".base_layer", experts};
}

}  // namespace

// Which tensors of the file belong to which parameter.
class PeftAdapter::Matching {
 public:
  explicit Matching(const SafetensorsFile& file) {
    for (const TensorEntry& entry : file.entries()) {
      std::string_view name = entry.name;
      if (name.starts_with(kPrefix)) name.remove_prefix(kPrefix.size());
      if (name.ends_with(kSuffixA)) {
        modules_[std::string(name.substr(0, name.size() - kSuffixA.size()))].a = &entry;
      } else if (name.ends_with(kSuffixB)) {
        modules_[std::string(name.substr(0, name.size() - kSuffixB.size()))].b = &entry;
      } else {
        defects_.push_back(fmt::format("{}: neither lora_A nor lora_B of a weight", entry.name));
      }
    }
  }

  // The two halves beside `base`, which are then used up.
  std::optional<Halves> take(const ParameterSchema& base) {
    for (const bool is_exchanged : {false, true}) {
      if (is_exchanged && !base.is_expert_stack()) continue;
      for (const std::string& module : possible_modules(base)) {
        const auto found = modules_.find(module);
        if (found == modules_.end() || !fits(base, found->second, is_exchanged)) continue;
        Halves halves = found->second;
        halves.is_exchanged = is_exchanged;
        modules_.erase(found);
        return halves;
      }
    }
    return std::nullopt;
  }

  void require_rank(const Halves& halves, std::int64_t rank, int expected, const std::string& module) {
    if (rank == expected) return;
    defects_.push_back(fmt::format("{}: found rank {} (shape {}), {} says {} for {}", halves.a->name, rank,
                                   shape_text(halves.a->shape), kConfigName, expected, module));
  }

  // Throws Error for everything that is left.
  void require_all_used(const std::string& path) {
    for (const auto& [module, halves] : modules_) {
      for (const TensorEntry* entry : {halves.a, halves.b}) {
        if (entry == nullptr) continue;
        const bool is_half = halves.a == nullptr || halves.b == nullptr;
        defects_.push_back(fmt::format("{}: shape {}, {}", entry->name, shape_text(entry->shape),
                                       is_half ? "without its other half" : "fits no weight of the model"));
      }
    }
    if (defects_.empty()) return;
    const std::size_t num_shown = std::min(defects_.size(), kMaxDefects);
    raise("{}: {} of its tensors cannot be used:\n  {}", path, defects_.size(),
          fmt::join(defects_.begin(), defects_.begin() + std::ptrdiff_t(num_shown), "\n  "));
  }

  static std::int64_t rank(const ParameterSchema& base, const Halves& halves) {
    return halves.a->shape[0] / Sizes(base, 1).matrices;
  }

 private:
  static bool fits(const ParameterSchema& base, const Halves& halves, bool is_exchanged) {
    if (halves.a == nullptr || halves.b == nullptr) return false;
    const auto &a = halves.a->shape, &b = halves.b->shape;
    const Sizes n(base, 1);
    if (a.size() != 2 || b.size() != 2 || a[0] == 0 || a[0] % n.matrices != 0 || b[1] != a[0]) return false;
    return is_exchanged ? a[1] == n.out && b[0] == n.in : a[1] == n.in && b[0] == n.out;
  }

  std::map<std::string, Halves> modules_;
  std::vector<std::string> defects_;
};

PeftAdapter::PeftAdapter(const std::string& folder, const MiniMaxM2Config& config)
    : folder_(folder), file_(path_in(folder, kTensorsName)), schemas_(config) {
  const std::string config_path = path_in(folder, kConfigName);
  const AdapterConfig adapter_config = AdapterConfig::from_json(read_text_file(config_path), config_path);
  Matching matching(file_);
  for (const ParameterSchema& base : schemas_.list()) {
    if (!takes_adapter(base)) continue;
    const std::optional<Halves> halves = matching.take(base);
    if (!halves) continue;
    const std::string module = adapted_module(base.name);
    const std::int64_t rank = Matching::rank(base, *halves);
    matching.require_rank(*halves, rank, adapter_config.rank(module), module);
    adapters_.push_back({.base = base.name, .rank = int(rank), .alpha = adapter_config.alpha(module)});
    halves_.push_back(*halves);
  }
  matching.require_all_used(file_.path());
  M2_REQUIRE(!adapters_.empty(), "{}: found no tensors, expected those of an adapter", file_.path());
}

std::vector<float> PeftAdapter::values(const TensorEntry& entry) const {
  const std::span<const std::byte> bytes = file_.bytes(entry);
  std::vector<float> out(entry.size_bytes / size_bytes(entry.dtype));
  if (entry.dtype == DType::float32) {
    std::memcpy(out.data(), bytes.data(), bytes.size());
  } else if (entry.dtype == DType::bfloat16) {
    std::vector<Bf16> rounded(out.size());
    std::memcpy(rounded.data(), bytes.data(), bytes.size());
    std::ranges::transform(rounded, out.begin(), [](Bf16 value) { return float(value); });
  } else {
    raise("{}: {} is {}, expected float32 or bfloat16", file_.path(), entry.name, name(entry.dtype));
  }
  return out;
}

std::vector<float> PeftAdapter::read_half(const ParameterSchema& base, const Halves& halves, bool is_a) const {
  const Sizes n(base, Matching::rank(base, halves));
  const bool is_experts_outside = is_a != halves.is_exchanged;
  if (is_experts_outside) return values(*halves.a);
  return from_rank_major(values(*halves.b), n, is_a ? n.in : n.out);
}

void PeftAdapter::load(MiniMaxM2ForCausalLM& model) const {
  const std::vector<AdapterSpec> of_model = model.adapters();
  std::vector<Parameter> parameters = model.adapter_parameters();  // A and B in turn
  for (std::size_t i = 0; i < adapters_.size(); ++i) {
    const auto found = std::ranges::find(of_model, adapters_[i].base, &AdapterSpec::base);
    M2_REQUIRE(found != of_model.end() && found->rank == adapters_[i].rank,
               "{}: the model has no adapter of rank {} beside '{}'", folder_, adapters_[i].rank, adapters_[i].base);
    const std::size_t place = 2 * std::size_t(found - of_model.begin());
    for (const bool is_a : {true, false}) load_half(i, is_a, parameters[place + (is_a ? 0 : 1)], model.exec());
  }
}

void PeftAdapter::load_half(std::size_t index, bool is_a, Parameter& parameter, const ExecSpace& exec) const {
  const ParameterSchema& base = schemas_.at(adapters_[index].base);
  const std::vector<float> whole = read_half(base, halves_[index], is_a);
  parameter.allocate(exec, DType::float32);
  const View3D<float> values = parameter.weight->values<float>();
  const std::size_t size = values.extent(1) * values.extent(2);
  for (std::size_t e = 0; e < values.extent(0); ++e) {
    const std::size_t place = base.is_expert_stack() ? std::size_t(parameter.experts[e]) : 0;
    copy_to_device(exec, std::span(whole).subspan(place * size, size), View1D<float>(values.data() + e * size, size));
  }
  exec.fence("m2::adapter: the host's values end here");
}

namespace {

struct HostTensor {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

// In PEFT the gate and up projections are wrapped before the down projection; one stack alone is no base layer.
std::string module_to_write(const AdapterSpec& adapter, const std::vector<AdapterSpec>& adapters,
                            const ParameterSchema& base) {
  if (!base.is_expert_stack()) return possible_modules(base).front();
  const std::string_view layer = std::string_view(adapter.base).substr(0, adapter.base.rfind('/'));
  const bool has_both =
      std::ranges::find(adapters, fmt::format("{}/down", layer), &AdapterSpec::base) != adapters.end();
  const bool is_base_layer = has_both && adapter.base.ends_with("/gate_up");
  return is_base_layer ? possible_modules(base).front() : possible_modules(base).back();
}

std::map<std::string, HostTensor> tensors_to_write(MiniMaxM2ForCausalLM& model,
                                                   const std::vector<AdapterSpec>& adapters) {
  const ParameterSchemas schemas(model.config());
  const std::vector<Parameter> parameters = model.adapter_parameters();
  std::map<std::string, HostTensor> tensors;
  for (std::size_t i = 0; i < parameters.size(); ++i) {  // A and B in turn
    const bool is_a = i % 2 == 0;
    const AdapterSpec& adapter = adapters[i / 2];
    const ParameterSchema& base = schemas.at(adapter.base);
    M2_REQUIRE(parameters[i].local_shape() == parameters[i].schema.shape,
               "the adapter of '{}' cannot be saved: a part is in another process; save a model that holds all",
               base.name);
    const Sizes n(base, adapter.rank);
    std::vector<float> values =
        to_host(model.exec(), parameters[i].weight->values<float>(), "m2::write_adapter: values for the host");
    HostTensor& tensor =
        tensors[fmt::format("{}{}{}", kPrefix, module_to_write(adapter, adapters, base), is_a ? kSuffixA : kSuffixB)];
    tensor.shape = is_a ? std::vector{n.matrices * n.rank, n.in} : std::vector{n.out, n.rank * n.matrices};
    tensor.values = is_a ? std::move(values) : to_rank_major(values, n, n.out);
  }
  return tensors;
}

}  // namespace

void write_adapter(MiniMaxM2ForCausalLM& model, const std::string& folder, const std::string& base_model) {
  const std::vector<AdapterSpec> adapters = model.adapters();
  M2_REQUIRE(!adapters.empty(), "{}: the model has no adapters to write", folder);
  const std::map<std::string, HostTensor> tensors = tensors_to_write(model, adapters);
  std::vector<TensorEntry> entries;
  for (const auto& [name, tensor] : tensors) {
    entries.push_back({.name = name, .dtype = DType::float32, .shape = tensor.shape});
  }
  PendingFolder pending(folder);
  SafetensorsWriter writer(pending.path_of(kTensorsName), entries, {{"format", "pt"}});
  std::size_t index = 0;
  for (const auto& [name, tensor] : tensors) writer.write(index++, 0, std::as_bytes(std::span(tensor.values)));
  writer.finish();
  write_text_file_atomically(pending.path_of(kConfigName),
                             adapter_config_json(adapters, model.config().num_hidden_layers, base_model));
  pending.publish();
}

}  // namespace m2
