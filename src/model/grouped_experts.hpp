// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "config/backend_config.hpp"
#include "config/minimax_m2_config.hpp"
#include "config/moe_config.hpp"
#include "kernels/weight.hpp"
#include "model/activations.hpp"
#include "model/parameter.hpp"

namespace m2 {

/// All experts of a layer: y = down (silu(gate x) * (up x)), each row of x by the expert it was sorted to.
class GroupedExperts {
 public:
  GroupedExperts(const MiniMaxM2Config& config, const MoEConfig& moe, const BackendConfig& backend)
      : config_(config), moe_(moe), backend_(backend) {}

  /// Reads buffers.x_RD and offset_E1 (rows of each expert), and weight_R where the routing weight goes in before the
  /// down projection; writes buffers.y_RD.
  template <class T>
  void forward(const ExecSpace& exec, const MoEActivations<T>& buffers, View1D<std::byte> gemm_workspace) const;

  /// Normal with deviation 0.02.
  void init_weights(const ExecSpace& exec, std::uint64_t seed, const std::string& prefix);

  /// Names begin with `prefix`, "layers/<i>/moe/experts/".
  std::vector<Parameter> parameters(const std::string& prefix);

  Weight gate_up;  ///< (E, 2F, D): gate (`w1`) over up (`w3`)
  Weight down;     ///< (E, D, F): `w2`

 private:
  MiniMaxM2Config config_;
  MoEConfig moe_;
  BackendConfig backend_;
};

}  // namespace m2
