// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "model/gate.hpp"
#include "model/grouped_experts.hpp"
#include "model/packed_batch.hpp"
#include "model/token_dispatcher.hpp"

namespace m2 {

/// The mixture of experts of one layer: route, dispatch, compute, combine. No token is dropped.
class MoE {
 public:
  MoE(const MiniMaxM2Config& config, const MoEConfig& moe, const BackendConfig& backend)
      : gate(config, moe, backend), experts(config, moe, backend), dispatcher_(moe) {}

  /// out[t] = sum over the token's experts of weight * expert(x[t]); 0 for tokens that skip the experts.
  template <class T>
  void forward(const ExecSpace& exec, View2D<const T> x_TD, const PackedBatch& batch, const MoEActivations<T>& buffers,
               View1D<std::byte> gemm_workspace, View2D<T> out_TD) const {
    gate.forward<T>(exec, x_TD, batch.skip_experts_T, buffers, gemm_workspace);
    dispatcher_.dispatch<T>(exec, x_TD, buffers);
    experts.forward<T>(exec, buffers, gemm_workspace);
    dispatcher_.combine<T>(exec, buffers, out_TD);
  }

  void init_weights(const ExecSpace& exec, std::uint64_t seed, const std::string& prefix) {
    gate.init_weights(exec, seed, prefix);
    experts.init_weights(exec, seed, prefix + "experts/");
  }

  /// Names begin with `prefix`, "layers/<i>/moe/".
  std::vector<Parameter> parameters(const std::string& prefix) {
    std::vector<Parameter> list = gate.parameters(prefix);
    for (Parameter& parameter : experts.parameters(prefix + "experts/")) list.push_back(std::move(parameter));
    return list;
  }

  Gate gate;
  GroupedExperts experts;

 private:
  TokenDispatcher dispatcher_;
};

}  // namespace m2
