// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "config/backend_config.hpp"
#include "config/minimax_m2_config.hpp"
#include "config/moe_config.hpp"
#include "kernels/weights/weight.hpp"
#include "model/activations.hpp"
#include "model/parameter.hpp"

namespace m2 {

/// The router: which experts see a token, and with which weight. In float32 unless gate_precision says otherwise.
class Gate {
 public:
  Gate(const MiniMaxM2Config& config, const MoEConfig& moe, const BackendConfig& backend)
      : config_(config), moe_(moe), backend_(backend) {}

  /// Fills logits_TE (also when fake_balanced_gate ignores them), expert_TK and weight_TK. Tokens with a
  /// non-zero skip_experts_T get weight 0.
  template <class T>
  void forward(const ExecSpace& exec, View2D<const T> x_TD, View1D<const std::uint8_t> skip_experts_T,
               const Routing& routing, View1D<std::byte> gemm_workspace) const;

  /// The weight normal with deviation 0.02, the selection bias 0.
  void init_weights(const ExecSpace& exec, std::uint64_t seed, const std::string& prefix);

  /// Names begin with `prefix`, "layers/<i>/moe/".
  std::vector<Parameter> parameters(const std::string& prefix);

  Weight weight;                 ///< (E, D)
  View1D<float> selection_bias;  ///< `e_score_correction_bias`; empty when use_routing_bias is false

 private:
  MiniMaxM2Config config_;
  MoEConfig moe_;
  BackendConfig backend_;
};

}  // namespace m2
