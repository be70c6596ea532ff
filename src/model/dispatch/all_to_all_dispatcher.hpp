// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "config/moe_config.hpp"
#include "model/dispatch/exchange_handle.hpp"

namespace m2 {

/// As LocalDispatcher where the experts are split over ranks, with the same bits unless ExpertParallel::reduce_answers
/// is set. Collective: a rank without tokens serves its experts. A token crosses to a rank once, however many of its
/// experts are there; each expert's answer returns by itself, so that the sum has one order for every layout.
class AllToAllDispatcher {
 public:
  AllToAllDispatcher(const MoEConfig& moe, std::shared_ptr<ExpertParallel> parallel, int layer);

  /// The first tokens are on their way. Plans are taken from buffers.plans. Throws Error when the exchange fails.
  template <class T>
  ExchangeHandle<T> dispatch(const ExecSpace& exec, View2D<const T> x_TD, const Routing& routing,
                             const MoEActivations<T>& buffers) const;

  /// As LocalDispatcher::combine. Throws Error when the exchange fails.
  template <class T>
  void combine(const ExecSpace& exec, ExchangeHandle<T>& handle, View2D<T> out_TD) const;

 private:
  mutable SplitExperts experts_;  // its map is made at the first pass: construction needs no device
  int layer_;
};

}  // namespace m2
