// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/views.hpp"
#include "kernels/weights/weight.hpp"

namespace m2 {

/// A low-rank addition (LoRA, Hu et al. 2021) to the product of x with a weight of (E, N, K): y += scale (x A^T) B^T,
/// for each matrix of the stack, scale = alpha / rank. J is the rank. Copies share the memory, like Views.
struct LowRankAdapter {
  Weight a;  ///< (E, J, K), float32 in rows: A
  Weight b;  ///< (E, J, N), float32 in rows: B transposed, so that all products run over contiguous memory
  double alpha = 1.0;

  struct Gradients {
    View3D<float> a, b;  ///< as a and b; without elements: not trained
  } grad;

  bool exists() const { return a.num_matrices() > 0; }
  int rank() const { return a.num_rows(); }
  float scale() const { return float(alpha / double(rank())); }
};

/// y[r] += scale (x[r] A[e]^T) B[e]^T. Rows of experts lie as in grouped_gemm; an empty `offset_E1`: one matrix, all
/// rows its own. The bits: x A^T as gemm() with provider `kokkos` gives it in Y, scaled and rounded once; then for each
/// output one chain over ascending ranks in float32, added to y, rounded once. Where all of B is 0, y keeps its bits.
/// An adapter that does not exist does nothing. (T, Y) is (float, float), (Bf16, Bf16) or (Bf16, float). `hidden` is
/// overwritten and has at least R J elements; y may not alias x. Throws Error when shapes disagree.
template <class T, class Y>
void low_rank_forward(const ExecSpace& exec, const LowRankAdapter& adapter, View2D<const T> x_RK,
                      View1D<const int> offset_E1, View1D<Y> hidden, View2D<Y> y_RN);

/// The part of the gradient of x that goes through the adapter: dx[r] += scale (dy[r] B[e]) A[e], with roundings as in
/// low_rank_forward(). `dhidden` is left for low_rank_backward_weights(). dx may not alias dy.
template <class T, class Y>
void low_rank_backward_input(const ExecSpace& exec, const LowRankAdapter& adapter, View2D<const Y> dy_RN,
                             View1D<const int> offset_E1, View1D<Y> dhidden, View2D<T> dx_RK);

/// Adds to the gradients of A and B, where they have memory. `dhidden` is what low_rank_backward_input() left for the
/// same dy; in `hidden` x A^T is computed again, with the same bits.
template <class T, class Y>
void low_rank_backward_weights(const ExecSpace& exec, const LowRankAdapter& adapter, View2D<const T> x_RK,
                               View2D<const Y> dy_RN, View1D<const int> offset_E1, View1D<Y> hidden, View1D<Y> dhidden);

/// values[e] += scale B[e] A[e], the weight that the adapter amounts to: for each element one chain over ascending
/// ranks in float32. Throws Error when shapes disagree.
void low_rank_merge(const ExecSpace& exec, const LowRankAdapter& adapter, View3D<float> values_ENK);

}  // namespace m2
