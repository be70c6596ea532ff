// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/views.hpp"

namespace m2 {

/// h += x, rounded to T once. Throws Error if the shapes disagree.
template <class T>
void residual_add(const ExecSpace& exec, View2D<const T> x_TD, View2D<T> h_TD);

}  // namespace m2
