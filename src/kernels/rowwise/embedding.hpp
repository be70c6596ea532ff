// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/views.hpp"
#include "kernels/weights/weight.hpp"

namespace m2 {

/// out[t] = table[token[t]], converted to T. The table is one float32 or bfloat16 matrix (vocabulary x hidden).
/// Tokens must be in [0, V): the caller checks them on the host, where the message can name the prompt.
/// Throws Error if the shapes disagree or the table is of another dtype.
template <class T>
void embedding(const ExecSpace& exec, View1D<const int> token_T, const Weight& table_VD, View2D<T> out_TD);

/// Elements of embedding_backward's scratch.
std::int64_t embedding_backward_scratch(std::int64_t num_tokens, std::int64_t vocabulary);

/// dtable[token[t]] += dout[t], the gradient of embedding; for one token its positions ascend, in float, whatever the
/// number of threads. Rows of other tokens are not touched. Tokens must be in [0, V). Costs O(V + T D).
/// Throws Error if the shapes disagree or the scratch is too small.
template <class T>
void embedding_backward(const ExecSpace& exec, View1D<const int> token_T, View2D<const T> dout_TD, View1D<int> scratch,
                        View2D<float> dtable_VD);

}  // namespace m2
