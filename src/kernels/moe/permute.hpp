// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/views.hpp"

namespace m2 {

/// Elements of permute_plan's scratch.
std::int64_t permute_scratch_size(std::int64_t num_tokens, int top_k, int num_experts);

/// Orders the R = T K routed rows by expert, those of one expert by token (a stable counting sort). Writes where each
/// expert's rows begin (`offset`, last entry R), the row of each slot, and the token of each row.
/// Throws Error if the shapes disagree, the scratch is too small, or R is near 2^31. Entries of expert_TK must be
/// in [0, E).
void permute_plan(const ExecSpace& exec, View2D<const int> expert_TK, int num_experts, View1D<int> scratch,
                  View1D<int> offset_E1, View2D<int> row_TK, View1D<int> token_R);

/// weight_R[row[t, k]] = weight[t, k]: the routing weights in the order of the rows.
/// Throws Error if the shapes disagree.
void permute_weights(const ExecSpace& exec, View2D<const float> weight_TK, View2D<const int> row_TK,
                     View1D<float> weight_R);

/// weight[t, k] = weight_R[row[t, k]], 0 where the row is -1: the inverse of permute_weights, and its gradient.
/// Throws Error if the shapes disagree.
void gather_weights(const ExecSpace& exec, View1D<const float> weight_R, View2D<const int> row_TK,
                    View2D<float> weight_TK);

/// out[r] = x[token[r]]. Throws Error if the shapes disagree.
template <class T>
void gather_rows(const ExecSpace& exec, View2D<const T> x_TD, View1D<const int> token_R, View2D<T> out_RD);

/// out[t] = sum over k, ascending and in float, of weight[t, k] * y[row[t, k]], rounded to T once; slots whose row is
/// -1 are left out. An empty weight_TK (0 x 0) means 1: the routing weight went in before the down projection. Throws
/// Error if the shapes disagree.
template <class T>
void combine(const ExecSpace& exec, View2D<const T> y_RD, View2D<const int> row_TK, View2D<const float> weight_TK,
             View2D<T> out_TD);

}  // namespace m2
