// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

namespace m2 {

/// Calls f(std::integral_constant<int, n>) for an n known when the program runs, so that f's loops over n rows are
/// unrolled. n must lie in [kFirst, kLast].
template <int kFirst, int kLast, class F>
void with_rows(int n, const F& f) {
  static_assert(kFirst <= kLast);
  if constexpr (kFirst < kLast) {
    if (n != kFirst) return with_rows<kFirst + 1, kLast>(n, f);
  }
  f(std::integral_constant<int, kFirst>{});
}

}  // namespace m2
