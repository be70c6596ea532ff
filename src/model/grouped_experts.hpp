// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/gemm/low_rank.hpp"
#include "kernels/weights/weight.hpp"
#include "model/dispatch/expert_rows.hpp"
#include "model/parameter.hpp"

namespace m2 {

/// The experts of a layer that lie in this process: y = down (silu(gate x) * (up x)), each row of x by the expert it
/// was sorted to.
class GroupedExperts {
 public:
  /// `experts`: which of the model's, ascending.
  GroupedExperts(std::shared_ptr<const ModelConfig> config, std::vector<int> experts)
      : config_(std::move(config)), experts_(std::move(experts)) {}

  /// Reads x_RD and offset_L1 (rows of each expert), and weight_R where the routing weight goes in before the down
  /// projection; writes y_RD.
  template <class T>
  void forward(const ExecSpace& exec, const ExpertRows<T>& rows) const;

  /// On entry rows are as forward() left them but for y_RD, which holds the gradient of the answers before the routing
  /// weights; x_RD must have been filled again, and gate_up_R2F where it was not kept. Overwrites y_RD with the
  /// gradient of x_RD, dweight_R with that of the routing weights, and activated_RF and gate_up_R2F. Adds to the
  /// parameters' gradients, where they have memory. `lora_dhidden`: what adapters work in. The gradient of a routing
  /// weight is <down^T dy, activated>: the answers themselves are not needed.
  template <class T>
  void backward(const ExecSpace& exec, const ExpertRows<T>& rows, View1D<float> dweight_R,
                View1D<T> lora_dhidden) const;

  /// The first product: gate_up_R2F with the bits of forward(). May overwrite activated_RF.
  template <class T>
  void recompute(const ExecSpace& exec, const ExpertRows<T>& rows) const;

  /// Names begin with `prefix`, "layers/<i>/moe/experts/".
  std::vector<Parameter> parameters(const ParameterSchemas& schemas, const std::string& prefix);

  Weight gate_up;  ///< (L, 2F, D): gate (`w1`) over up (`w3`)
  Weight down;     ///< (L, D, F): `w2`

  struct Gradients {
    View3D<float> gate_up, down;
  } grad;
  struct Adapters {
    LowRankAdapter gate_up, down;
  } lora;  ///< beside the weights of the same names

 private:
  // activated_RF, and gate_up_R2F if it is to be kept, in one pass over weights in panels.
  void multiply_and_activate(const ExecSpace& exec, const ExpertRows<Bf16>& rows, View1D<const float> row_weight_R,
                             bool keeps_gate_up) const;

  std::shared_ptr<const ModelConfig> config_;
  std::vector<int> experts_;
};

}  // namespace m2
