// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/operation_log.hpp"
#include "model/backward_buffers.hpp"
#include "model/dispatch/all_to_all_dispatcher.hpp"
#include "model/dispatch/local_dispatcher.hpp"
#include "model/gate.hpp"
#include "model/grouped_experts.hpp"
#include "model/packed_batch.hpp"

namespace m2 {

/// The mixture of experts of one layer: route, dispatch, compute, combine. No token is dropped.
class MoE {
 public:
  /// `parallel`: where the experts are split over ranks; nullptr where all are here.
  MoE(int layer_idx, const std::shared_ptr<const ModelConfig>& config, const std::shared_ptr<ExpertParallel>& parallel);

  /// out[t] = sum over the token's experts of weight * expert(x[t]); 0 for tokens that skip the experts. Collective
  /// where the experts are split over ranks. The dispatch plan is taken from buffers.plans.
  template <class T>
  void forward(const ExecSpace& exec, View2D<const T> x_TD, const PackedBatch& batch, const MoEActivations<T>& buffers,
               View2D<T> out_TD) const {
    gate.forward<T>(exec, x_TD, batch.skip_experts_T, buffers.routing, buffers.router_lora_hidden);
    const OperationPlace place("dispatch");
    if (load_E.extent(0) > 0) count_experts(exec, buffers.routing.expert_TK, load_E);
    std::visit(
        [&](const auto& dispatcher) {
          auto handle = dispatcher.template dispatch<T>(exec, x_TD, buffers.routing, buffers);
          while (const ExpertRows<T>* rows = handle.next(exec)) {
            experts.forward<T>(exec, *rows);
            handle.send_back(exec);
          }
          dispatcher.template combine<T>(exec, handle, out_TD);
        },
        dispatcher_);
  }

  /// The gradient of x_TD, overwritten, from that of out_TD; adds to the parameters' gradients. `saved` is what
  /// forward() was called with; x_TD has been computed again. Where the experts' products were not kept, they are
  /// computed again; they are overwritten. All experts must be in this process.
  template <class T>
  void backward(const ExecSpace& exec, View2D<const T> x_TD, const PackedBatch& batch, const MoEActivations<T>& saved,
                const BackwardBuffers<T>& buffers, View2D<const T> dout_TD, View2D<T> dx_TD) const;

  /// Names begin with `prefix`, "layers/<i>/moe/".
  std::vector<Parameter> parameters(const ParameterSchemas& schemas, const std::string& prefix) {
    std::vector<Parameter> list = gate.parameters(schemas, prefix);
    append(list, experts.parameters(schemas, prefix + "experts/"));
    return list;
  }

  Gate gate;
  GroupedExperts experts;
  View1D<std::int64_t> load_E;  ///< if it has elements: forward() adds how many of this rank's tokens chose each expert

 private:
  std::variant<LocalDispatcher, AllToAllDispatcher> dispatcher_;
};

}  // namespace m2
