// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "checkpoint/tensor_source.hpp"
#include "core/views.hpp"

namespace m2 {

/// What the probe of a merge saw: logits of a few tokens, of base with adapter and of the merged weights.
struct MergeProbe {
  double mean_difference = 0.0;  ///< of a logit
  double mean_change = 0.0;      ///< what the adapter changes in one
  double bound = 0.0;            ///< of the difference
};

/// A checkpoint with an adapter folded in: W + scale B A for each weight that it is beside, with sums in float32,
/// rounded to the base's dtype, FP8 quantised anew; every other tensor as it is in the base, bit by bit.
struct MergedCheckpoint {
  std::unique_ptr<TensorSource> source;  ///< reads from `base`, which must outlive it, and from memory
  MergeProbe probe;
};

/// `adapter`: a PEFT folder. The whole model is in memory. Throws Error for a tensor of the adapter that belongs to
/// nothing, and when the logits of the merged weights are not those of base and adapter, within the rounding of the
/// base's dtype.
MergedCheckpoint merge_adapter(const TensorSource& base, const std::string& adapter, const ExecSpace& exec);

}  // namespace m2
