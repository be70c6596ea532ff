// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "config/model_config.hpp"
#include "kernels/gemm/low_rank.hpp"
#include "kernels/weights/weight.hpp"
#include "model/backward_buffers.hpp"
#include "model/dispatch/dispatch_buffers.hpp"
#include "model/parameter.hpp"

namespace m2 {

/// The router: which experts see a token, and with which weight. In float32 unless gate_precision says otherwise.
class Gate {
 public:
  explicit Gate(std::shared_ptr<const ModelConfig> config) : config_(std::move(config)) {}

  /// Fills logits_TE (also when fake_balanced_gate ignores them), expert_TK and weight_TK. Tokens with a
  /// non-zero skip_experts_T get weight 0. `lora_hidden`: what the adapter works in, if there is one.
  template <class T>
  void forward(const ExecSpace& exec, View2D<const T> x_TD, View1D<const std::uint8_t> skip_experts_T,
               const Routing& routing, View1D<float> lora_hidden = {}) const;

  /// From buffers.dweight_TK, the gradient of the weights of forward(), that of x, which is overwritten; adds to the
  /// weight's gradient where it has memory. The choice of experts is a constant. The auxiliary loss of the
  /// configuration is added here, with the load that `plan` tells.
  template <class T>
  void backward(const ExecSpace& exec, View2D<const T> x_TD, View1D<const std::uint8_t> skip_experts_T,
                const Routing& routing, const LocalPlan& plan, const BackwardBuffers<T>& buffers,
                View2D<T> dx_TD) const;

  /// Names begin with `prefix`, "layers/<i>/moe/".
  std::vector<Parameter> parameters(const ParameterSchemas& schemas, const std::string& prefix);

  Weight weight;                 ///< (E, D)
  View1D<float> selection_bias;  ///< `e_score_correction_bias`; empty when use_routing_bias is false

  View1D<double> auxiliary_loss;  ///< if it has an element: backward() adds this layer's loss, without coefficient

  struct Gradients {
    View3D<float> weight;
  } grad;
  LowRankAdapter lora;  ///< beside the weight

 private:
  std::shared_ptr<const ModelConfig> config_;
};

}  // namespace m2
