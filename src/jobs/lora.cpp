// SPDX-License-Identifier: Apache-2.0
#include "jobs/lora.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "core/nearest.hpp"

namespace m2 {
namespace {

// What decks call the place of an adapter: both stacks of experts have one name.
std::string target_of(const std::string& base) {
  if (base.find("/experts/") != std::string::npos) return "experts";
  return base.substr(base.rfind('/') + 1);
}

std::vector<std::string> bases(MiniMaxM2ForCausalLM& model) {
  std::vector<std::string> names;
  for (const Parameter& parameter : model.base_parameters()) {
    if (parameter.adapter != nullptr) names.push_back(parameter.name());
  }
  return names;
}

std::vector<std::string> all_targets(const std::vector<std::string>& bases) {
  std::vector<std::string> targets;
  for (const std::string& base : bases) {
    if (std::ranges::find(targets, target_of(base)) == targets.end()) targets.push_back(target_of(base));
  }
  return targets;
}

void require_targets(const LoraSection& lora, const std::vector<std::string>& bases) {
  const std::vector<std::string> known = all_targets(bases);
  for (const std::string& target : lora.targets) {
    if (std::ranges::find(known, target) != known.end()) continue;
    raise_usage("lora.targets: '{}' hits nothing; expected some of {}{}", target, fmt::join(known, ", "),
                did_you_mean(target, known));
  }
}

void require_fits(const LoraSection& lora, const PeftAdapter& adapter) {
  for (const AdapterSpec& spec : adapter.adapters()) {
    const bool is_target =
        lora.targets.empty() || std::ranges::find(lora.targets, target_of(spec.base)) != lora.targets.end();
    if (!is_target) {
      raise_usage("lora.targets: {} has an adapter in {}, expected '{}' among the targets, or no targets", spec.base,
                  adapter.folder(), target_of(spec.base));
    }
    if (lora.rank && *lora.rank != spec.rank) {
      raise_usage("lora.rank: found {}, {} has rank {} for {}; leave the key out", *lora.rank, adapter.folder(),
                  spec.rank, spec.base);
    }
  }
}

// The adapter of each base: the folder's, with the deck's alpha if it has one, or a new one where a target asks for it.
std::vector<AdapterSpec> resolve(const LoraSection& lora, const std::optional<PeftAdapter>& adapter,
                                 const std::vector<std::string>& bases) {
  std::vector<AdapterSpec> specs;
  const AdapterSpec usual = adapter
                                ? adapter->adapters().front()
                                : AdapterSpec{.base = {}, .rank = *lora.rank, .alpha = lora.alpha.value_or(*lora.rank)};
  for (const std::string& base : bases) {
    AdapterSpec spec = usual;
    bool is_wanted = std::ranges::find(lora.targets, target_of(base)) != lora.targets.end();
    if (adapter) {
      const auto found = std::ranges::find(adapter->adapters(), base, &AdapterSpec::base);
      const bool is_there = found != adapter->adapters().end();
      is_wanted = is_wanted || is_there;
      if (is_there) spec = *found;
    }
    if (!is_wanted) continue;
    spec.base = base;
    if (lora.alpha) spec.alpha = *lora.alpha;
    specs.push_back(spec);
  }
  return specs;
}

std::string summary(const std::vector<AdapterSpec>& specs, const std::vector<std::string>& bases) {
  std::string hits;
  for (const std::string& target : all_targets(bases)) {
    const auto count = std::ranges::count(specs, target, [](const AdapterSpec& spec) { return target_of(spec.base); });
    if (count > 0) hits += fmt::format("{}{} {}", hits.empty() ? "" : ", ", target, count);
  }
  std::set<int> ranks;
  std::set<double> alphas;
  for (const AdapterSpec& spec : specs) ranks.insert(spec.rank), alphas.insert(spec.alpha);
  return fmt::format("adapters: {}; rank {}, alpha {}", hits, fmt::join(ranks, " and "), fmt::join(alphas, " and "));
}

}  // namespace

void AppliedLora::load(MiniMaxM2ForCausalLM& model, std::uint64_t seed) const {
  model.initialize_adapters(seed);
  if (adapter_) adapter_->load(model);
}

std::optional<AppliedLora> apply_lora(MiniMaxM2ForCausalLM& model, const LoraSection& lora) {
  if (!lora.rank && !lora.adapter) return std::nullopt;
  if (lora.dropout > 0.0) raise_usage("lora.dropout: found {}, expected 0: dropout is not supported", lora.dropout);
  const std::vector<std::string> names = bases(model);
  require_targets(lora, names);
  std::optional<PeftAdapter> adapter;
  if (lora.adapter) {
    adapter.emplace(*lora.adapter, model.config());
    require_fits(lora, *adapter);
  }
  const std::vector<AdapterSpec> specs = resolve(lora, adapter, names);
  model.add_adapters(specs);
  return AppliedLora(std::move(adapter), summary(specs, names));
}

}  // namespace m2
