// SPDX-License-Identifier: Apache-2.0
#include "config/moe_config.hpp"

#include <fmt/format.h>

#include <array>
#include <limits>
#include <type_traits>
#include <variant>

#include "config/parse_number.hpp"
#include "core/error.hpp"
#include "core/nearest.hpp"

namespace m2 {
namespace {

using Field = std::variant<int MoEConfig::*, bool MoEConfig::*, double MoEConfig::*, std::string MoEConfig::*,
                           ScoringFunc MoEConfig::*, DType MoEConfig::*>;

struct NamedField {
  const char* key;
  Field field;
};

const std::array kFields{
    NamedField{"dim", &MoEConfig::dim},
    NamedField{"moe_inter_dim", &MoEConfig::moe_inter_dim},
    NamedField{"n_routed_experts", &MoEConfig::n_routed_experts},
    NamedField{"n_shared_experts", &MoEConfig::n_shared_experts},
    NamedField{"n_activated_experts", &MoEConfig::n_activated_experts},
    NamedField{"n_expert_groups", &MoEConfig::n_expert_groups},
    NamedField{"n_limited_groups", &MoEConfig::n_limited_groups},
    NamedField{"score_func", &MoEConfig::score_func},
    NamedField{"softmax_before_topk", &MoEConfig::softmax_before_topk},
    NamedField{"norm_topk_prob", &MoEConfig::norm_topk_prob},
    NamedField{"route_scale", &MoEConfig::route_scale},
    NamedField{"train_gate", &MoEConfig::train_gate},
    NamedField{"gate_bias_update_factor", &MoEConfig::gate_bias_update_factor},
    NamedField{"aux_loss_coeff", &MoEConfig::aux_loss_coeff},
    NamedField{"force_e_score_correction_bias", &MoEConfig::force_e_score_correction_bias},
    NamedField{"router_bias", &MoEConfig::router_bias},
    NamedField{"expert_bias", &MoEConfig::expert_bias},
    NamedField{"expert_activation", &MoEConfig::expert_activation},
    NamedField{"apply_router_weight_after_down", &MoEConfig::apply_router_weight_after_down},
    NamedField{"dtype", &MoEConfig::dtype},
};

/// Text to a field's type; nothing if it is not of that type.
std::optional<int> read_as(int, const std::string& text) {
  const auto value = parse_whole(text);
  const bool fits = value && *value >= std::numeric_limits<int>::min() && *value <= std::numeric_limits<int>::max();
  return fits ? std::optional<int>(int(*value)) : std::nullopt;
}
std::optional<bool> read_as(bool, const std::string& text) { return parse_bool(text); }
std::optional<double> read_as(double, const std::string& text) { return parse_real(text); }
std::optional<std::string> read_as(const std::string&, const std::string& text) { return text; }
std::optional<ScoringFunc> read_as(ScoringFunc, const std::string& text) {
  if (text == name(ScoringFunc::sigmoid)) return ScoringFunc::sigmoid;
  if (text == name(ScoringFunc::softmax)) return ScoringFunc::softmax;
  return std::nullopt;
}
std::optional<DType> read_as(DType, const std::string& text) {
  if (text == name(DType::float32)) return DType::float32;
  if (text == name(DType::bfloat16)) return DType::bfloat16;
  return std::nullopt;
}

std::string kind(int) { return "a whole number"; }
std::string kind(bool) { return "true or false"; }
std::string kind(double) { return "a number"; }
std::string kind(const std::string&) { return "a word"; }
std::string kind(ScoringFunc) { return "one of " + allowed_names<ScoringFunc>(); }
std::string kind(DType) { return "one of float32, bfloat16"; }

std::string to_text(int value) { return fmt::format("{}", value); }
std::string to_text(bool value) { return value ? "true" : "false"; }
std::string to_text(double value) { return fmt::format("{}", value); }
std::string to_text(const std::string& value) { return value; }
std::string to_text(ScoringFunc value) { return std::string(name(value)); }
std::string to_text(DType value) { return std::string(name(value)); }

/// Throws unless `holds`.
template <class T>
void require(bool holds, const char* key, const T& found, const std::string& expected) {
  M2_REQUIRE(holds, "MoEConfig: key '{}': found {}, expected {}", key, to_text(found), expected);
}

template <class T>
void require_same(const char* key, T found, const char* config_key, T config_value) {
  require(found == config_value, key, found,
          fmt::format("{}, the model's {}; change it there", to_text(config_value), config_key));
}

}  // namespace

MoEConfig MoEConfig::from(const MiniMaxM2Config& config) {
  MoEConfig moe;
  moe.dim = config.hidden_size;
  moe.moe_inter_dim = config.intermediate_size;
  moe.n_routed_experts = config.num_local_experts;
  moe.n_activated_experts = config.num_experts_per_tok;
  moe.score_func = config.scoring_func;
  moe.softmax_before_topk = config.scoring_func == ScoringFunc::softmax;
  moe.dtype = config.dtype;
  return moe;
}

std::vector<std::pair<std::string, std::string>> MoEConfig::fields() const {
  std::vector<std::pair<std::string, std::string>> list;
  for (const NamedField& named : kFields) {
    std::visit([&](auto field) { list.emplace_back(named.key, to_text(this->*field)); }, named.field);
  }
  return list;
}

void MoEConfig::set(const std::string& key, const std::string& value) {
  std::vector<std::string> keys;
  for (const NamedField& named : kFields) {
    keys.emplace_back(named.key);
    if (key != named.key) continue;
    std::visit(
        [&](auto field) {
          const auto parsed = read_as(this->*field, value);
          M2_REQUIRE(parsed, "MoEConfig: key '{}': found '{}', expected {}", key, value, kind(this->*field));
          this->*field = *parsed;
        },
        named.field);
    return;
  }
  raise("MoEConfig: unknown key '{}'{}", key, did_you_mean(key, keys));
}

void MoEConfig::apply_overrides(const MoEOverrides& overrides) {
  for (const auto& [key, value] : overrides) set(key, value);
}

void MoEConfig::validate() const {
  require(dim > 0, "dim", dim, "at least 1");
  require(moe_inter_dim > 0, "moe_inter_dim", moe_inter_dim, "at least 1");
  require(n_routed_experts > 0, "n_routed_experts", n_routed_experts, "at least 1");
  require(n_shared_experts == 0, "n_shared_experts", n_shared_experts, "0: MiniMax-M2 has no shared expert");
  require(n_activated_experts > 0 && n_activated_experts <= n_routed_experts, "n_activated_experts",
          n_activated_experts, fmt::format("1 to n_routed_experts ({})", n_routed_experts));
  require(n_expert_groups == 0 || n_expert_groups == 1, "n_expert_groups", n_expert_groups, "0 or 1: no groups");
  require(n_limited_groups == 0 || n_limited_groups == 1, "n_limited_groups", n_limited_groups, "0 or 1: no groups");
  const bool softmax = score_func == ScoringFunc::softmax;
  require(softmax || !softmax_before_topk, "softmax_before_topk", softmax_before_topk, "false with score_func sigmoid");
  require(!softmax || softmax_before_topk, "softmax_before_topk", softmax_before_topk,
          "true with score_func softmax: the selection bias is added to the softmax of all logits");
  require(route_scale > 0 && route_scale <= 1e6, "route_scale", route_scale, "a number above 0, at most 1e6");
  require(gate_bias_update_factor >= 0 && gate_bias_update_factor <= 1, "gate_bias_update_factor",
          gate_bias_update_factor, "a number from 0 to 1");
  require(aux_loss_coeff >= 0 && aux_loss_coeff <= 1e6, "aux_loss_coeff", aux_loss_coeff, "a number from 0 to 1e6");
  require(force_e_score_correction_bias || gate_bias_update_factor > 0, "force_e_score_correction_bias",
          force_e_score_correction_bias, "true: MiniMax-M2's gate has a selection bias, also when it is not updated");
  require(!router_bias, "router_bias", router_bias, "false: MiniMax-M2's gate has no bias");
  require(!expert_bias, "expert_bias", expert_bias, "false: MiniMax-M2's experts have no bias");
  require(expert_activation == "swiglu", "expert_activation", expert_activation, "swiglu");
  require(dtype == DType::float32 || dtype == DType::bfloat16, "dtype", dtype, kind(dtype));
}

MoEConfig resolve_moe_config(const MiniMaxM2Config& config, const std::optional<MoEConfig>& moe_config,
                             const std::optional<MoEOverrides>& moe_overrides) {
  M2_REQUIRE(!moe_config || !moe_overrides, "both moe_config and moe_overrides are given; give one of them");
  MoEConfig resolved = moe_config.value_or(MoEConfig::from(config));
  if (moe_overrides) resolved.apply_overrides(*moe_overrides);
  resolved.validate();
  require_same("dim", resolved.dim, "hidden_size", config.hidden_size);
  require_same("moe_inter_dim", resolved.moe_inter_dim, "intermediate_size", config.intermediate_size);
  require_same("n_routed_experts", resolved.n_routed_experts, "num_local_experts", config.num_local_experts);
  require_same("n_activated_experts", resolved.n_activated_experts, "num_experts_per_tok", config.num_experts_per_tok);
  require_same("dtype", resolved.dtype, "dtype", config.dtype);
  return resolved;
}

}  // namespace m2
