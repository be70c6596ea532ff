// SPDX-License-Identifier: Apache-2.0
#include "kernels/optimizer/adamw.hpp"

#include <cmath>

#include "core/error.hpp"
#include "kernels/common/operation_cost.hpp"
#include "kernels/optimizer/moments.hpp"

namespace m2 {
namespace {

template <class M>
struct AdamWUpdate {
  const float* gradient;
  float* master;
  M* m;
  M* v;
  float gradient_scale, decay, step_size, beta1, one_minus_beta1, beta2, one_minus_beta2, root_bias_correction2, eps;
  RoundingRandom random;
  bool counts_lost;

  /// torch's lerp: of its two forms the one that is exact at its nearer end.
  KOKKOS_FORCEINLINE_FUNCTION float next_m(float old, float g) const {
    return one_minus_beta1 < 0.5f ? old + one_minus_beta1 * (g - old) : g - (g - old) * beta1;
  }

  template <int kWidth>
  KOKKOS_FORCEINLINE_FUNCTION int operator()(std::int64_t first, std::integral_constant<int, kWidth>) const {
    // A tile is read before it is written, so that the compiler need not know that the arrays are apart.
    float old_p[kWidth], new_p[kWidth], new_m[kWidth], new_v[kWidth];
    for (int l = 0; l < kWidth; ++l) {
      const float g = gradient[first + l] * gradient_scale;
      old_p[l] = master[first + l];
      new_m[l] = next_m(float(m[first + l]), g);
      new_v[l] = float(v[first + l]) * beta2 + one_minus_beta2 * g * g;
      const float denominator = Kokkos::sqrt(new_v[l]) / root_bias_correction2 + eps;
      new_p[l] = old_p[l] * decay - step_size * new_m[l] / denominator;
    }
    for (int l = 0; l < kWidth; ++l) master[first + l] = new_p[l];
    std::uint32_t word[kWidth] = {};
    if constexpr (std::is_same_v<M, Bf16>) random.draw(first, word);
    store_moments(new_m, m + first, [&](int l) { return word[l] & 0xffffu; });
    store_moments(new_v, v + first, [&](int l) { return word[l] >> 16; });
    return counts_lost ? count_lost(old_p, new_p) : 0;
  }
};

}  // namespace

template <class M>
void adamw(const ExecSpace& exec, const AdamWStep& step, View1D<const float> gradient, View1D<float> master,
           View1D<M> m, View1D<M> v, View1D<std::int64_t> lost) {
  require_same("adamw", "elements of gradient", gradient.extent(0), "elements of master", master.extent(0));
  require_same("adamw", "elements of m", m.extent(0), "elements of master", master.extent(0));
  require_same("adamw", "elements of v", v.extent(0), "elements of master", master.extent(0));
  M2_REQUIRE(lost.extent(0) <= 1, "adamw: lost has {} elements, at most 1 is expected", lost.extent(0));
  M2_REQUIRE(step.step >= 1, "adamw: step is {}; updates are counted from 1", step.step);
  const LoggedOperation logged(exec, "adamw", [&] { return array_cost(gradient, master, master, m, m, v, v); });
  const double bias_correction1 = 1.0 - std::pow(step.beta1, double(step.step));
  const double bias_correction2 = 1.0 - std::pow(step.beta2, double(step.step));
  const AdamWUpdate<M> update{
      .gradient = gradient.data(),
      .master = master.data(),
      .m = m.data(),
      .v = v.data(),
      .gradient_scale = float(step.gradient_scale),
      .decay = float(1.0 - step.learning_rate * step.weight_decay),
      .step_size = float(step.learning_rate / bias_correction1),
      .beta1 = float(step.beta1),
      .one_minus_beta1 = float(1.0 - step.beta1),
      .beta2 = float(step.beta2),
      .one_minus_beta2 = float(1.0 - step.beta2),
      .root_bias_correction2 = float(std::sqrt(bias_correction2)),
      .eps = float(step.eps),
      .random = {step.rounding.seed, step.rounding.stream, std::uint32_t(step.step)},
      .counts_lost = lost.extent(0) == 1,
  };
  for_update_tiles(exec, "m2::adamw", std::int64_t(master.extent(0)), update, lost);
}

template void adamw<float>(const ExecSpace&, const AdamWStep&, View1D<const float>, View1D<float>, View1D<float>,
                           View1D<float>, View1D<std::int64_t>);
template void adamw<Bf16>(const ExecSpace&, const AdamWStep&, View1D<const float>, View1D<float>, View1D<Bf16>,
                          View1D<Bf16>, View1D<std::int64_t>);

}  // namespace m2
