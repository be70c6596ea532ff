// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace m2::test {

/// df/dx at x, from f in double a step on either side. For an f that changes over distances of one and more, it is off
/// by some 2^-36 of f (rounding) and 2^-37 of its third derivative: thousands of times less than float's unit.
template <class F>
double central_difference(const F& f, double x) {
  constexpr double kStep = 0x1p-17;
  return (f(x + kStep) - f(x - kStep)) / (2 * kStep);
}

}  // namespace m2::test
