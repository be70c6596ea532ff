// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/choices.hpp"
#include "core/no_label.hpp"
#include "core/views.hpp"
#include "core/workspace.hpp"
#include "kernels/gemm/low_rank.hpp"
#include "kernels/weights/weight.hpp"

namespace m2 {

/// Buffers of linear_cross_entropy for up to R rows: of the logits, a chunk of C = max(R / 64, 16) rows at a time.
template <class T>
struct LinearCrossEntropyBuffers {
  View1D<int> row_R, target_R, place_R;
  View2D<T> x_CD, dx_CD;
  View2D<float> logits_CV;
  View1D<float> logprob_C;
  View1D<std::byte> gemm_workspace;
  View1D<float> lora_hidden, lora_dhidden;

  /// For a weight of T, and an adapter of a rank up to `lora_rank`. Throws Error where the provider does not multiply
  /// these.
  LinearCrossEntropyBuffers(GemmProvider provider, std::int64_t num_rows, int vocabulary, int hidden_size,
                            Workspace& workspace, int lora_rank = 0);
};

/// The head and the loss -scale * sum(logprob), and its gradients, without the logits of all rows at once:
///   logprob[r] = log softmax(x[r] w^T)[target[r]], with the bits of gemm() and token_logprob(); 0 where there is no
///   label dx[r]      = scale * (softmax(x[r] w^T) - onehot(target[r])) w, rounded once to T; 0 where there is no label
///   dw        += the same differences, transposed, times x
/// `scale` is 1 / the labels of the whole global batch. logprob and dx are overwritten, dw is added to; an empty dx or
/// dw is not computed. What `adapter` adds to the logits is part of them, its gradients are added where they have
/// memory and dx has elements. Rows with target kNoLabel cost nothing and are not read. T in {float, Bf16}; dw is (1,
/// V, D).
///
/// Labelled rows are taken in ascending chunks of C, the rows of buffers.logits_CV: dw receives one addition for each
/// chunk, of a chain that gemm_backward_weight() begins at 0. So logprob and dx do not depend on C, the last bits of dw
/// do. Waits for `exec` once, because the rows are chosen on the host; the operations inside report their costs.
/// Throws Error when shapes disagree, the buffers are for fewer rows, or a target is neither kNoLabel nor in [0, V).
template <class T>
void linear_cross_entropy(const ExecSpace& exec, GemmProvider provider, View2D<const T> x_RD, const Weight& w_VD,
                          std::span<const int> target_R, float scale, const LinearCrossEntropyBuffers<T>& buffers,
                          View1D<float> logprob_R, View2D<T> dx_RD, View3D<float> dw_1VD,
                          const LowRankAdapter& adapter = {});

}  // namespace m2
