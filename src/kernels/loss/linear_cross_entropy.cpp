// SPDX-License-Identifier: Apache-2.0
#include "kernels/loss/linear_cross_entropy.hpp"

#include <algorithm>
#include <vector>

#include "core/error.hpp"
#include "core/host_copy.hpp"
#include "kernels/common/math.hpp"
#include "kernels/common/operation_cost.hpp"
#include "kernels/common/rows.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/gemm/gemm_backward.hpp"
#include "kernels/moe/permute.hpp"
#include "kernels/rowwise/token_logprob.hpp"

namespace m2 {
namespace {

constexpr std::int64_t kChunks = 64, kLeastChunkRows = 16;

std::int64_t chunk_rows(std::int64_t num_rows) {
  return std::min(num_rows, std::max(num_rows / kChunks, kLeastChunkRows));
}

/// The labelled rows and their targets, and where each row stands in its chunk of them; -1 without a label.
struct Labels {
  std::vector<int> row_N, target_N, place_R;

  Labels(std::span<const int> target_R, int vocabulary, int rows_per_chunk) {
    place_R.assign(target_R.size(), -1);
    for (std::size_t r = 0; r < target_R.size(); ++r) {
      const int target = target_R[r];
      if (target == kNoLabel) continue;
      M2_REQUIRE(target >= 0 && target < vocabulary,
                 "linear_cross_entropy: the target of row {} is {}; expected are {} (no label) and 0 to {}", r, target,
                 kNoLabel, vocabulary - 1);
      place_R[r] = int(row_N.size()) % rows_per_chunk;
      row_N.push_back(int(r));
      target_N.push_back(target);
    }
  }
};

/// logits become scale * (softmax(logits) - onehot(target)).
void cross_entropy_backward(const ExecSpace& exec, View1D<const int> target_C, float scale, View2D<float> logits_CV) {
  const LoggedOperation logged(exec, "cross_entropy_backward", [&] { return array_cost(logits_CV, logits_CV); });
  const int vocabulary = logits_CV.extent_int(1);
  Kokkos::parallel_for(
      "m2::cross_entropy_backward", row_policy(exec, logits_CV.extent_int(0)), KOKKOS_LAMBDA(const RowMember& team) {
        const int c = team.league_rank(), target = target_C(c);
        float* logits = row(logits_CV, c);
        const float largest = row_largest(team, vocabulary, [=](int v) { return logits[v]; }).value;
        const float total = row_sum(team, vocabulary, [=](int v) { return exponential(logits[v] - largest); });
        row_store(team, vocabulary, logits, [=](int v) {
          const float probability = exponential(logits[v] - largest) / total;
          return scale * (probability - (v == target ? 1.0f : 0.0f));
        });
      });
}

/// logprob_R[r] = logprob_C[place_R[r]], 0 where the place is -1.
void spread_logprobs(const ExecSpace& exec, View1D<const float> logprob_C, View1D<const int> place_R,
                     View1D<float> logprob_R) {
  Kokkos::parallel_for(
      "m2::spread_logprobs", Kokkos::RangePolicy<ExecSpace>(exec, 0, place_R.extent_int(0)),
      KOKKOS_LAMBDA(int r) { logprob_R(r) = place_R(r) < 0 ? 0.0f : logprob_C(place_R(r)); });
}

/// What stays the same from chunk to chunk.
template <class T>
struct LossProblem {
  GemmProvider provider;
  View2D<const T> x_RD;
  const Weight& w_VD;
  float scale;
  const LinearCrossEntropyBuffers<T>& buffers;
  View1D<float> logprob_R;
  View2D<T> dx_RD;
  View3D<float> dw_1VD;
  const LowRankAdapter& adapter;
};

/// Labelled rows [first, last), which are the labelled ones of rows [begin, end).
template <class T>
void compute_chunk(const ExecSpace& exec, const LossProblem<T>& problem, int first, int last, int begin, int end) {
  const LinearCrossEntropyBuffers<T>& buffers = problem.buffers;
  const auto x_CD = slice(buffers.x_CD, 0, last - first), dx_CD = slice(buffers.dx_CD, 0, last - first);
  const auto logits_CV = slice(buffers.logits_CV, 0, last - first);
  const auto logprob_C = slice(buffers.logprob_C, 0, last - first);
  const auto target_C = slice(buffers.target_R, first, last), place_R = slice(buffers.place_R, begin, end);
  const View1D<const int> no_offsets;

  gather_rows<T>(exec, problem.x_RD, slice(buffers.row_R, first, last), x_CD);
  gemm<T, float>(exec, problem.provider, x_CD, problem.w_VD, buffers.gemm_workspace, logits_CV);
  low_rank_forward<T, float>(exec, problem.adapter, x_CD, no_offsets, buffers.lora_hidden, logits_CV);
  token_logprob(exec, logits_CV, target_C, logprob_C);
  spread_logprobs(exec, logprob_C, place_R, slice(problem.logprob_R, begin, end));
  if (problem.dx_RD.size() == 0 && problem.dw_1VD.size() == 0) return;

  cross_entropy_backward(exec, target_C, problem.scale, logits_CV);
  if (problem.dx_RD.size() > 0) {
    gemm_backward_input<float, T>(exec, logits_CV, problem.w_VD, no_offsets, dx_CD);
    low_rank_backward_input<T, float>(exec, problem.adapter, logits_CV, no_offsets, buffers.lora_dhidden, dx_CD);
    low_rank_backward_weights<T, float>(exec, problem.adapter, x_CD, logits_CV, no_offsets, buffers.lora_hidden,
                                        buffers.lora_dhidden);
    const View2D<const int> place_R1(place_R.data(), place_R.extent(0), 1);
    combine<T>(exec, dx_CD, place_R1, View2D<const float>(), slice(problem.dx_RD, begin, end));
  }
  if (problem.dw_1VD.size() > 0) gemm_backward_weight<float, T>(exec, logits_CV, x_CD, no_offsets, problem.dw_1VD);
}

template <class T>
void require_loss_shapes(const LossProblem<T>& problem, std::size_t num_targets) {
  constexpr const char* kName = "linear_cross_entropy";
  const auto& [provider, x_RD, w_VD, scale, buffers, logprob_R, dx_RD, dw_1VD, adapter] = problem;
  require_same(kName, "elements of target_R", num_targets, "rows of x_RD", x_RD.extent(0));
  require_same(kName, "elements of logprob_R", logprob_R.extent(0), "rows of x_RD", x_RD.extent(0));
  if (dx_RD.size() > 0) require_same_shape(kName, "dx_RD", dx_RD, "x_RD", x_RD);
  require_same(kName, "columns of buffers.x_CD", buffers.x_CD.extent(1), "columns of x_RD", x_RD.extent(1));
  require_same(kName, "columns of buffers.logits_CV", buffers.logits_CV.extent(1), "rows of w_VD", w_VD.num_rows());
  M2_REQUIRE(x_RD.extent(0) <= buffers.row_R.extent(0), "{}: the buffers are for {} rows, x_RD has {}", kName,
             buffers.row_R.extent(0), x_RD.extent(0));
}

}  // namespace

template <class T>
LinearCrossEntropyBuffers<T>::LinearCrossEntropyBuffers(GemmProvider provider, std::int64_t num_rows, int vocabulary,
                                                        int hidden_size, Workspace& workspace, int lora_rank)
    : row_R(workspace.take<int>(num_rows)),
      target_R(workspace.take<int>(num_rows)),
      place_R(workspace.take<int>(num_rows)),
      x_CD(workspace.take<T>(chunk_rows(num_rows), hidden_size)),
      dx_CD(workspace.take<T>(chunk_rows(num_rows), hidden_size)),
      logits_CV(workspace.take<float>(chunk_rows(num_rows), vocabulary)),
      logprob_C(workspace.take<float>(chunk_rows(num_rows))),
      gemm_workspace(workspace.take<std::byte>(gemm_workspace_bytes(
          provider, kDTypeOf<T>, kDTypeOf<T>, int(chunk_rows(num_rows)), vocabulary, hidden_size))),
      lora_hidden(workspace.take<float>(chunk_rows(num_rows) * lora_rank)),
      lora_dhidden(workspace.take<float>(chunk_rows(num_rows) * lora_rank)) {}

template <class T>
void linear_cross_entropy(const ExecSpace& exec, GemmProvider provider, View2D<const T> x_RD, const Weight& w_VD,
                          std::span<const int> target_R, float scale, const LinearCrossEntropyBuffers<T>& buffers,
                          View1D<float> logprob_R, View2D<T> dx_RD, View3D<float> dw_1VD,
                          const LowRankAdapter& adapter) {
  const LossProblem<T> problem{provider, x_RD, w_VD, scale, buffers, logprob_R, dx_RD, dw_1VD, adapter};
  require_loss_shapes(problem, target_R.size());
  if (target_R.empty()) return;
  const int rows_per_chunk = buffers.logits_CV.extent_int(0);
  const Labels labels(target_R, w_VD.num_rows(), rows_per_chunk);
  copy_to_device(exec, std::span(labels.row_N), buffers.row_R);
  copy_to_device(exec, std::span(labels.target_N), buffers.target_R);
  copy_to_device(exec, std::span(labels.place_R), buffers.place_R);
  exec.fence("m2::linear_cross_entropy: the host's lists of rows end here");

  const int num_rows = int(target_R.size()), num_labels = int(labels.row_N.size());
  for (int first = 0, begin = 0; begin < num_rows; first += rows_per_chunk) {
    const int last = std::min(first + rows_per_chunk, num_labels);
    const int end = last == num_labels ? num_rows : labels.row_N[std::size_t(last)];
    compute_chunk(exec, problem, first, last, begin, end);
    begin = end;
  }
}

#define M2_INSTANTIATE_LINEAR_CROSS_ENTROPY(T)                                                                        \
  template struct LinearCrossEntropyBuffers<T>;                                                                       \
  template void linear_cross_entropy(const ExecSpace&, GemmProvider, View2D<const T>, const Weight&,                  \
                                     std::span<const int>, float, const LinearCrossEntropyBuffers<T>&, View1D<float>, \
                                     View2D<T>, View3D<float>, const LowRankAdapter&)
M2_INSTANTIATE_LINEAR_CROSS_ENTROPY(float);
M2_INSTANTIATE_LINEAR_CROSS_ENTROPY(Bf16);
#undef M2_INSTANTIATE_LINEAR_CROSS_ENTROPY

}  // namespace m2
