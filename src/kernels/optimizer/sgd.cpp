// SPDX-License-Identifier: Apache-2.0
#include "kernels/optimizer/sgd.hpp"

#include "core/error.hpp"
#include "kernels/common/operation_cost.hpp"
#include "kernels/optimizer/moments.hpp"

namespace m2 {
namespace {

template <class M>
struct SgdUpdate {
  const float* gradient;
  float* master;
  M* momentum;
  float gradient_scale, decay, learning_rate, factor;
  RoundingRandom random;
  bool counts_lost;

  template <int kWidth>
  KOKKOS_FORCEINLINE_FUNCTION int operator()(std::int64_t first, std::integral_constant<int, kWidth>) const {
    // A tile is read before it is written, so that the compiler need not know that the arrays are apart.
    float old_p[kWidth], new_p[kWidth], new_momentum[kWidth];
    for (int l = 0; l < kWidth; ++l) {
      old_p[l] = master[first + l];
      new_momentum[l] = float(momentum[first + l]) * factor + gradient[first + l] * gradient_scale;
      new_p[l] = old_p[l] * decay - learning_rate * new_momentum[l];
    }
    for (int l = 0; l < kWidth; ++l) master[first + l] = new_p[l];
    std::uint32_t word[kWidth] = {};
    if constexpr (std::is_same_v<M, Bf16>) random.draw(first, word);
    store_moments(new_momentum, momentum + first, [&](int l) { return word[l] & 0xffffu; });
    return counts_lost ? count_lost(old_p, new_p) : 0;
  }
};

}  // namespace

template <class M>
void sgd(const ExecSpace& exec, const SgdStep& step, View1D<const float> gradient, View1D<float> master,
         View1D<M> momentum, View1D<std::int64_t> lost) {
  require_same("sgd", "elements of gradient", gradient.extent(0), "elements of master", master.extent(0));
  require_same("sgd", "elements of momentum", momentum.extent(0), "elements of master", master.extent(0));
  M2_REQUIRE(lost.extent(0) <= 1, "sgd: lost has {} elements, at most 1 is expected", lost.extent(0));
  M2_REQUIRE(step.step >= 1, "sgd: step is {}; updates are counted from 1", step.step);
  const LoggedOperation logged(exec, "sgd", [&] { return array_cost(gradient, master, master, momentum, momentum); });
  const SgdUpdate<M> update{
      .gradient = gradient.data(),
      .master = master.data(),
      .momentum = momentum.data(),
      .gradient_scale = float(step.gradient_scale),
      .decay = float(1.0 - step.learning_rate * step.weight_decay),
      .learning_rate = float(step.learning_rate),
      .factor = float(step.momentum),
      .random = {step.rounding.seed, step.rounding.stream, std::uint32_t(step.step)},
      .counts_lost = lost.extent(0) == 1,
  };
  for_update_tiles(exec, "m2::sgd", std::int64_t(master.extent(0)), update, lost);
}

template void sgd<float>(const ExecSpace&, const SgdStep&, View1D<const float>, View1D<float>, View1D<float>,
                         View1D<std::int64_t>);
template void sgd<Bf16>(const ExecSpace&, const SgdStep&, View1D<const float>, View1D<float>, View1D<Bf16>,
                        View1D<std::int64_t>);

}  // namespace m2
