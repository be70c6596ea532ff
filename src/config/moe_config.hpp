// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/minimax_m2_config.hpp"
#include "core/dtype.hpp"

namespace m2 {

/// Key-value changes to the defaults of a MoEConfig, for example {"route_scale", "2.5"}.
using MoEOverrides = std::map<std::string, std::string>;

/// A mixture-of-experts layer, with the fields of NeMo Automodel's MoEConfig that matter to MiniMax-M2.
struct MoEConfig {
  int dim = 3072;
  int moe_inter_dim = 1536;
  int n_routed_experts = 256;
  int n_shared_experts = 0;
  int n_activated_experts = 8;
  int n_expert_groups = 0;
  int n_limited_groups = 0;
  ScoringFunc score_func = ScoringFunc::sigmoid;
  bool softmax_before_topk = false;
  bool norm_topk_prob = true;
  double route_scale = 1.0;
  bool train_gate = true;  ///< this and the next two act in training only
  double gate_bias_update_factor = 1e-3;
  double aux_loss_coeff = 0.0;
  bool force_e_score_correction_bias = true;  ///< keep the selection bias though it is not being updated
  bool router_bias = false;
  bool expert_bias = false;
  std::string expert_activation = "swiglu";
  bool apply_router_weight_after_down = true;  ///< rounds less than the reference's default, false
  DType dtype = DType::bfloat16;

  /// The defaults for a model: the reference's, but for apply_router_weight_after_down.
  static MoEConfig from(const MiniMaxM2Config& config);

  /// Every key with its value as set() reads it.
  std::vector<std::pair<std::string, std::string>> fields() const;

  /// Sets one field from text. Throws Error: unknown key (with the nearest one), or a value of another type.
  void set(const std::string& key, const std::string& value);

  /// set() for each of them.
  void apply_overrides(const MoEOverrides& overrides);

  /// Throws Error naming the first field this system cannot honour, its value and what is allowed.
  void validate() const;

  bool operator==(const MoEConfig&) const = default;
};

/// The MoEConfig of a model: `moe_config` itself, or the defaults with the overrides. Giving both is an Error, as is a
/// result that validate() refuses or whose sizes, experts per token or dtype are not the model's.
MoEConfig resolve_moe_config(const MiniMaxM2Config& config, const std::optional<MoEConfig>& moe_config,
                             const std::optional<MoEOverrides>& moe_overrides);

}  // namespace m2
