// SPDX-License-Identifier: Apache-2.0
#include "infer/batch_sampler.hpp"

#include <string>

#include "core/host_copy.hpp"
#include "kernels/common/operation_cost.hpp"

namespace m2 {
namespace {

View1D<std::uint8_t> mask_of(const ExecSpace& exec, const std::vector<int>& ids, int vocab_size) {
  std::vector<std::uint8_t> mask(std::size_t(vocab_size), 0);
  for (const int id : ids) mask[id] = 1;
  return to_device(exec, mask, "m2::sampler::never_V");
}

View2D<TokenScore> allocate(const ExecSpace& exec, const std::string& label, int num_rows, int num_columns) {
  return View2D<TokenScore>(Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, label), num_rows, num_columns);
}

}  // namespace

BatchSampler::BatchSampler(const ExecSpace& exec, const SamplingOptions& options, const std::vector<int>& never_V,
                           int vocab_size, int max_rows)
    : exec_(exec), sampler_(options, never_V), num_likeliest_(sampler_.num_likeliest(vocab_size)) {
  if (num_likeliest_ == 0) return;
  never_V_ = mask_of(exec, never_V, vocab_size);
  scratch_BN_ = allocate(exec, "m2::sampler::scratch_BN", max_rows, top_tokens_scratch(vocab_size));
  likeliest_BK_ = allocate(exec, "m2::sampler::likeliest_BK", max_rows, num_likeliest_);
}

std::vector<int> BatchSampler::sample(View2D<const float> logits_BV, std::span<const SamplingContext> context_B) {
  const LoggedOperation logged(exec_, "sample", [&] { return cost(logits_BV); });
  return num_likeliest_ == 0 ? sample_all(logits_BV, context_B) : sample_likeliest(logits_BV, context_B);
}

std::vector<int> BatchSampler::sample_likeliest(View2D<const float> logits_BV,
                                                std::span<const SamplingContext> context_B) {
  const std::int64_t num_rows = logits_BV.extent(0);
  const View2D<TokenScore> top_BK = slice(likeliest_BK_, 0, num_rows);
  top_tokens(exec_, logits_BV, never_V_, slice(scratch_BN_, 0, num_rows), top_BK);
  const std::vector<TokenScore> likeliest = to_host(exec_, top_BK, "m2::sampler: the likeliest tokens for the host");
  std::vector<int> token_B;
  for (std::int64_t b = 0; b < num_rows; ++b) {
    const auto& [history, identity, step] = context_B[b];
    const auto of_row = std::span(likeliest).subspan(b * num_likeliest_, num_likeliest_);
    const std::optional<int> token = sampler_.choose(of_row, identity, step);
    token_B.push_back(token ? *token
                            : sampler_.sample(logits_on_host(slice(logits_BV, b, b + 1)), history, identity, step));
  }
  return token_B;
}

std::vector<int> BatchSampler::sample_all(View2D<const float> logits_BV, std::span<const SamplingContext> context_B) {
  const std::span<const float> logits = logits_on_host(logits_BV);
  const std::size_t vocab_size = logits_BV.extent(1);
  std::vector<int> token_B;
  for (std::size_t b = 0; b < logits_BV.extent(0); ++b) {
    const auto& [history, identity, step] = context_B[b];
    token_B.push_back(sampler_.sample(logits.subspan(b * vocab_size, vocab_size), history, identity, step));
  }
  return token_B;
}

std::span<const float> BatchSampler::logits_on_host(View2D<const float> logits_BV) {
  host_logits_.resize(logits_BV.size());
  copy_to_host(exec_, logits_BV, host_logits_);
  exec_.fence("m2::sampler: logits for the host");
  return host_logits_;
}

// Logits on the way to the host are read, written and read there once. Rows that follow the likeliest are not counted.
OperationCost BatchSampler::cost(View2D<const float> logits_BV) const {
  if (num_likeliest_ == 0) return {.bytes = 3 * bytes_of(logits_BV)};
  return array_cost(logits_BV, never_V_, slice(likeliest_BK_, 0, logits_BV.extent(0)));
}

}  // namespace m2
