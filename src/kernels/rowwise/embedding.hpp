// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/views.hpp"
#include "kernels/weights/weight.hpp"

namespace m2 {

/// out[t] = table[token[t]], converted to T. The table is one float32 or bfloat16 matrix (vocabulary x hidden).
/// Tokens must be in [0, V): the caller checks them on the host, where the message can name the prompt.
/// Throws Error if the shapes disagree or the table is of another dtype.
template <class T>
void embedding(const ExecSpace& exec, View1D<const int> token_T, const Weight& table_VD, View2D<T> out_TD);

}  // namespace m2
