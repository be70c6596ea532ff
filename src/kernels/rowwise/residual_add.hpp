// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/views.hpp"

namespace m2 {

/// out = h + x, rounded to T once; out may be h or x. Throws Error if the shapes disagree.
template <class T>
void residual_add(const ExecSpace& exec, View2D<const T> x_TD, View2D<const T> h_TD, View2D<T> out_TD);

}  // namespace m2
