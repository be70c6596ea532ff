// SPDX-License-Identifier: Apache-2.0
#include "kernels/random_fill.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"

namespace m2 {
namespace {

/// Elements that share one block of Philox, two pairs of Box-Muller.
constexpr int kGroup = 4;

struct NormalGroup {
  float value[kGroup];
};

/// Uniform in (0, 1]: logarithms are finite.
KOKKOS_INLINE_FUNCTION float uniform(std::uint32_t word) { return (float(word) + 1.0f) * 0x1p-32f; }

/// Standard normal numbers of elements 4 group ... 4 group + 3, at their `attempt`-th drawing.
KOKKOS_INLINE_FUNCTION NormalGroup draw(RandomStream stream, std::uint64_t group, std::uint32_t attempt) {
  const PhiloxBlock counter{{std::uint32_t(group), std::uint32_t(group >> 32), stream.stream, attempt}};
  const PhiloxBlock random = philox(counter, std::uint32_t(stream.seed), std::uint32_t(stream.seed >> 32));
  NormalGroup out;
  for (int pair = 0; pair < kGroup; pair += 2) {
    const float radius = Kokkos::sqrt(-2.0f * Kokkos::log(uniform(random.word[pair])));
    const float angle = 2.0f * Kokkos::numbers::pi_v<float> * uniform(random.word[pair + 1]);
    out.value[pair] = radius * Kokkos::cos(angle);
    out.value[pair + 1] = radius * Kokkos::sin(angle);
  }
  return out;
}

/// The same with the numbers outside [-bound, bound] drawn again.
KOKKOS_INLINE_FUNCTION NormalGroup draw_within(RandomStream stream, std::uint64_t group, float bound) {
  NormalGroup out = draw(stream, group, 0);
  for (int i = 0; i < kGroup; ++i) {
    for (std::uint32_t attempt = 1; Kokkos::abs(out.value[i]) > bound; ++attempt) {
      out.value[i] = draw(stream, group, attempt).value[i];
    }
  }
  return out;
}

void require_drawable(const NormalDistribution& distribution) {
  M2_REQUIRE(std::isfinite(distribution.mean) && std::isfinite(distribution.deviation) && distribution.deviation >= 0,
             "fill_normal: mean {} and deviation {}; finite numbers are expected, the deviation not below 0",
             distribution.mean, distribution.deviation);
  constexpr float kLeastBound = 0.025f;  // 2 % of a normal distribution: 50 drawings for a number
  M2_REQUIRE(distribution.bound >= kLeastBound * distribution.deviation,
             "fill_normal: bound {} is below {} deviations of {}; too few numbers would be within it",
             distribution.bound, kLeastBound, distribution.deviation);
}

template <class W>
void fill_values(const ExecSpace& exec, RandomStream stream, NormalDistribution distribution, std::int64_t index_offset,
                 W* out, std::int64_t size) {
  M2_REQUIRE(index_offset >= 0, "fill_normal: index_offset is {}, at least 0 is expected", index_offset);
  require_drawable(distribution);
  using Policy = Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>;
  const float mean = distribution.mean, deviation = distribution.deviation;
  const float bound = deviation > 0 ? distribution.bound / deviation : std::numeric_limits<float>::infinity();
  const std::int64_t first_group = index_offset / kGroup, end_group = (index_offset + size + kGroup - 1) / kGroup;
  Kokkos::parallel_for(
      "m2::fill_normal", Policy(exec, first_group, end_group), KOKKOS_LAMBDA(std::int64_t group) {
        const NormalGroup normal = draw_within(stream, group, bound);
        for (int i = 0; i < kGroup; ++i) {
          const std::int64_t element = group * kGroup + i - index_offset;
          if (element >= 0 && element < size) out[element] = W(mean + deviation * normal.value[i]);
        }
      });
}

}  // namespace

void fill_normal(const ExecSpace& exec, RandomStream stream, NormalDistribution distribution, std::int64_t index_offset,
                 const Weight& out) {
  const std::int64_t size = std::int64_t(out.num_matrices()) * out.num_rows() * out.num_columns();
  switch (out.dtype()) {
    case DType::float32:
      return fill_values(exec, stream, distribution, index_offset, out.values<float>().data(), size);
    case DType::bfloat16:
      return fill_values(exec, stream, distribution, index_offset, out.values<Bf16>().data(), size);
    default:
      raise("fill_normal: the weight is {}; float32 and bfloat16 can be filled", name(out.dtype()));
  }
}

void fill_normal(const ExecSpace& exec, RandomStream stream, NormalDistribution distribution, std::int64_t index_offset,
                 View1D<float> out) {
  fill_values(exec, stream, distribution, index_offset, out.data(), out.extent(0));
}

}  // namespace m2
