// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/operation_log.hpp"
#include "infer/sampler.hpp"

namespace m2 {

/// What a choice depends on besides logits and options.
struct SamplingContext {
  std::span<const int> history;  ///< prompt and generated ids
  std::uint64_t identity = 0;    ///< of the sequence
  std::uint64_t step = 0;        ///< how many tokens were generated before
};

/// Chooses a token for each row of a batch, the one that Sampler::sample chooses for it alone. The likeliest token and
/// those of top_k are found where the logits are; the logits themselves go to the host only where
/// Sampler::num_likeliest() is 0, and single rows of them where Sampler::choose() needs all.
class BatchSampler {
 public:
  /// `never_V` lists ids that are never chosen. `max_rows`: of a batch.
  BatchSampler(const ExecSpace& exec, const SamplingOptions& options, const std::vector<int>& never_V, int vocab_size,
               int max_rows);

  /// One token for each row. Waits for `exec`. Throws as Sampler::sample for the first row it cannot choose from.
  std::vector<int> sample(View2D<const float> logits_BV, std::span<const SamplingContext> context_B);

 private:
  std::vector<int> sample_likeliest(View2D<const float> logits_BV, std::span<const SamplingContext> context_B);
  std::vector<int> sample_all(View2D<const float> logits_BV, std::span<const SamplingContext> context_B);
  std::span<const float> logits_on_host(View2D<const float> logits_BV);
  OperationCost cost(View2D<const float> logits_BV) const;

  ExecSpace exec_;
  Sampler sampler_;
  int num_likeliest_;
  // Where num_likeliest_ is 0, these are empty.
  View1D<std::uint8_t> never_V_;
  View2D<TokenScore> scratch_BN_, likeliest_BK_;
  std::vector<float> host_logits_;  // kept between calls, to allocate once
};

}  // namespace m2
