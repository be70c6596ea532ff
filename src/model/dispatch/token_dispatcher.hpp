// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "config/moe_config.hpp"
#include "model/dispatch/dispatch_buffers.hpp"

namespace m2 {

/// Computes rows sorted by expert: GroupedExperts::forward.
template <class T>
using RunExperts = std::function<void(const ExpertRows<T>& rows)>;

/// Brings each token to its experts and their answers back, where all experts are in this process.
class LocalDispatcher {
 public:
  explicit LocalDispatcher(const MoEConfig& moe) : moe_(moe) {}

  /// out[t] = sum over the token's experts of weight * expert(x[t]), in float and in the order of the router's slots.
  template <class T>
  void forward(const ExecSpace& exec, View2D<const T> x_TD, const MoEActivations<T>& buffers,
               const RunExperts<T>& run_experts, View2D<T> out_TD) const;

 private:
  MoEConfig moe_;
};

/// The same where the experts are split over ranks, with the same bits unless ExpertParallel::reduce_answers is set.
/// forward() is collective: a rank without tokens serves its experts. A token crosses to a rank once, however many of
/// its experts are there; each expert's answer returns by itself, so that the sum has one order for every layout.
class AllToAllDispatcher {
 public:
  AllToAllDispatcher(const MoEConfig& moe, std::shared_ptr<ExpertParallel> parallel, int layer);

  /// As LocalDispatcher::forward. Throws Error when the exchange fails.
  template <class T>
  void forward(const ExecSpace& exec, View2D<const T> x_TD, const MoEActivations<T>& buffers,
               const RunExperts<T>& run_experts, View2D<T> out_TD) const;

 private:
  MoEConfig moe_;
  std::shared_ptr<ExpertParallel> parallel_;
  int num_local_experts_;
  int layer_;
  mutable ExpertMap map_;  // made at the first pass: construction needs no device
};

}  // namespace m2
