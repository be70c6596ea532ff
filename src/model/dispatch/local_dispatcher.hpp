// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "model/dispatch/dispatch_buffers.hpp"

namespace m2 {

/// One layer's tokens at their experts, where all experts are in this process. The plan stays valid after combine(), as
/// long as its memory.
template <class T>
class LocalHandle {
 public:
  LocalHandle(const Routing& routing, const LocalPlan& plan, const ExpertRows<T>& rows)
      : routing_(routing), plan_(plan), rows_(rows) {}

  /// The rows for the experts, once; then nullptr.
  const ExpertRows<T>* next(const ExecSpace&) { return std::exchange(is_served_, true) ? nullptr : &rows_; }
  /// To be called when the experts have written y_RD.
  void send_back(const ExecSpace&) {}

  const LocalPlan& plan() const { return plan_; }
  const Routing& routing() const { return routing_; }
  /// What the experts answered, valid until the buffers are used again.
  View2D<const T> answer_RD() const { return rows_.y_RD; }

 private:
  Routing routing_;
  LocalPlan plan_;
  ExpertRows<T> rows_;
  bool is_served_ = false;
};

/// Brings each token to its experts and their answers back, where all experts are in this process:
///
///     auto handle = dispatcher.dispatch<T>(exec, x_TD, routing, buffers);
///     while (const ExpertRows<T>* rows = handle.next(exec)) {
///       experts.forward<T>(exec, *rows);
///       handle.send_back(exec);
///     }
///     dispatcher.combine<T>(exec, handle, out_TD);
class LocalDispatcher {
 public:
  explicit LocalDispatcher(const MoEConfig& moe)
      : num_experts_(moe.n_routed_experts), weigh_answers_(moe.apply_router_weight_after_down) {}

  /// Sorts the tokens by expert. The plan is taken from buffers.plans, where buffers.local has none.
  template <class T>
  LocalHandle<T> dispatch(const ExecSpace& exec, View2D<const T> x_TD, const Routing& routing,
                          const MoEActivations<T>& buffers) const;

  /// out[t] = sum over the token's experts of weight * expert(x[t]), in float and in the order of the router's slots.
  template <class T>
  void combine(const ExecSpace& exec, const LocalHandle<T>& handle, View2D<T> out_TD) const;

 private:
  int num_experts_;
  bool weigh_answers_;
};

}  // namespace m2
