// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

namespace m2 {

/// Parameters whose gradients are complete at the same time in a backward pass: norm and head, the experts of a block,
/// the rest of a block, the embedding. The units of NeMo AutoModel's fully sharded training.
struct GradientUnit {
  enum class Kind { head, experts, dense, embedding } kind;
  int layer = -1;  ///< of experts and dense
};

/// When the gradients of a unit are complete: after each backward pass, or only after the last one of several that add
/// up. Whatever has to be done with complete gradients, once and not for each micro-batch, is done by `complete`.
class GradientUnits {
 public:
  /// Gradients add up in the backward passes from now on: `complete` is not called.
  void prepare_for_grad_accumulation() { is_final_ = false; }
  /// The next backward passes complete them; so it is at first.
  void prepare_for_final_backward() { is_final_ = true; }

  /// Called with each unit, in the order of a backward pass, as soon as its gradients are complete.
  void on_complete(std::function<void(const GradientUnit&)> complete) { complete_ = std::move(complete); }

  /// A backward pass has added all that it adds to the gradients of a unit.
  void added(const GradientUnit& unit) {
    ++(is_final_ ? num_completed_ : num_deferred_);
    if (is_final_ && complete_) complete_(unit);
  }

  std::int64_t num_deferred() const { return num_deferred_; }
  std::int64_t num_completed() const { return num_completed_; }

 private:
  bool is_final_ = true;
  std::int64_t num_deferred_ = 0, num_completed_ = 0;
  std::function<void(const GradientUnit&)> complete_;
};

}  // namespace m2
