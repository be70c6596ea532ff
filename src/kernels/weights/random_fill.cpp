// SPDX-License-Identifier: Apache-2.0
#include "kernels/weights/random_fill.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "kernels/common/philox.hpp"
#include "kernels/common/rows.hpp"
#include "kernels/weights/fp8_grid.hpp"
#include "kernels/weights/quantize.hpp"

namespace m2 {
namespace {

/// Elements that share one block of Philox, two pairs of Box-Muller.
constexpr int kNormalGroup = 4;

struct NormalGroup {
  float value[kNormalGroup];
};

/// Uniform in (0, 1]: logarithms are finite.
KOKKOS_INLINE_FUNCTION float uniform(std::uint32_t word) { return (float(word) + 1.0f) * 0x1p-32f; }

/// Standard normal numbers of elements 4 group ... 4 group + 3, at their `attempt`-th drawing.
KOKKOS_INLINE_FUNCTION NormalGroup draw(RandomStream stream, std::uint64_t group, std::uint32_t attempt) {
  const PhiloxBlock counter{{std::uint32_t(group), std::uint32_t(group >> 32), stream.stream, attempt}};
  const PhiloxBlock random = philox(counter, std::uint32_t(stream.seed), std::uint32_t(stream.seed >> 32));
  NormalGroup out;
  for (int pair = 0; pair < kNormalGroup; pair += 2) {
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
  for (int i = 0; i < kNormalGroup; ++i) {
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

// The bound as a multiple of the deviation, as draw_within wants it.
NormalDistribution in_deviations(NormalDistribution distribution) {
  const float deviation = distribution.deviation;
  distribution.bound = deviation > 0 ? distribution.bound / deviation : std::numeric_limits<float>::infinity();
  return distribution;
}

template <class W>
void fill_values(const ExecSpace& exec, RandomStream stream, NormalDistribution distribution, std::int64_t index_offset,
                 W* out, std::int64_t size) {
  M2_REQUIRE(index_offset >= 0, "fill_normal: index_offset is {}, at least 0 is expected", index_offset);
  require_drawable(distribution);
  using Policy = Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>;
  const float mean = distribution.mean, deviation = distribution.deviation;
  const float bound = in_deviations(distribution).bound;
  const std::int64_t first_group = index_offset / kNormalGroup,
                     end_group = (index_offset + size + kNormalGroup - 1) / kNormalGroup;
  Kokkos::parallel_for(
      "m2::fill_normal", Policy(exec, first_group, end_group), KOKKOS_LAMBDA(std::int64_t group) {
        const NormalGroup normal = draw_within(stream, group, bound);
        for (int i = 0; i < kNormalGroup; ++i) {
          const std::int64_t element = group * kNormalGroup + i - index_offset;
          if (element >= 0 && element < size) out[element] = W(mean + deviation * normal.value[i]);
        }
      });
}

// The values of one block before they are rounded, which takes their largest magnitude.
using BlockValues = Kokkos::View<float*, ExecSpace::scratch_memory_space, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;
constexpr int kBlockSize = kFp8Block * kFp8Block;

// value[i * num_columns + j] = element (i, j) of the block.
KOKKOS_INLINE_FUNCTION void draw_block(const RowMember& team, RandomStream stream, NormalDistribution normal,
                                       const Fp8Grid& grid, const Fp8GridBlock& block, std::int64_t index_offset,
                                       float* value) {
  constexpr int kGroups = kFp8Block / kNormalGroup + 1;  // that a row of the block may touch
  Kokkos::parallel_for(Kokkos::TeamVectorRange(team, block.num_rows * kGroups), [&](int i) {
    const int row = i / kGroups;
    const std::int64_t first =
        index_offset +
        (std::int64_t(block.matrix) * grid.num_rows + block.first_row + row) * std::int64_t(grid.num_columns) +
        block.first_column;
    const std::int64_t group = first / kNormalGroup + i % kGroups;
    if (group * kNormalGroup >= first + block.num_columns) return;
    const NormalGroup drawn = draw_within(stream, group, normal.bound);
    for (int k = 0; k < kNormalGroup; ++k) {
      const std::int64_t column = group * kNormalGroup + k - first;
      if (column < 0 || column >= block.num_columns) continue;
      value[row * block.num_columns + column] = normal.mean + normal.deviation * drawn.value[k];
    }
  });
}

void fill_blocks(const ExecSpace& exec, RandomStream stream, NormalDistribution normal, std::int64_t index_offset,
                 const Weight& out) {
  const View3D<Fp8E4M3> q_ENK = out.values<Fp8E4M3>();
  const View3D<float> scale_inv = out.scale_inv();
  const Fp8Grid grid = fp8_grid(out);
  RowPolicy policy = row_policy(exec, int(scale_inv.size()));
  policy.set_scratch_size(1, Kokkos::PerTeam(BlockValues::shmem_size(kBlockSize)));
  Kokkos::parallel_for(
      "m2::fill_normal::blocks", policy, KOKKOS_LAMBDA(const RowMember& team) {
        const Fp8GridBlock block = fp8_grid_block(grid, team.league_rank());
        const BlockValues values(team.team_scratch(1), kBlockSize);
        float* const value = values.data();
        draw_block(team, stream, normal, grid, block, index_offset, value);
        team.team_barrier();
        const int size = block.num_rows * block.num_columns;
        float largest = 0.0f;
        Kokkos::parallel_reduce(
            Kokkos::TeamVectorRange(team, size),
            [&](int i, float& most) { most = Kokkos::max(most, Kokkos::abs(value[i])); }, Kokkos::Max<float>(largest));
        const float scale = fp8_scale_inv(largest);
        Kokkos::single(Kokkos::PerTeam(team),
                       [&]() { scale_inv(block.matrix, block.scale_row, block.scale_column) = scale; });
        Kokkos::parallel_for(Kokkos::TeamVectorRange(team, size), [&](int i) {
          q_ENK(block.matrix, block.first_row + i / block.num_columns, block.first_column + i % block.num_columns) =
              Fp8E4M3(value[i] / scale);
        });
      });
}

void fill_fp8(const ExecSpace& exec, RandomStream stream, NormalDistribution distribution, std::int64_t index_offset,
              const Weight& out) {
  M2_REQUIRE(index_offset >= 0, "fill_normal: index_offset is {}, at least 0 is expected", index_offset);
  require_drawable(distribution);
  fill_blocks(exec, stream, in_deviations(distribution), index_offset, out);
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
    case DType::float8_e4m3fn:
      return fill_fp8(exec, stream, distribution, index_offset, out);
    default:
      raise("fill_normal: the weight is {}; float32, bfloat16 and float8_e4m3fn can be filled", name(out.dtype()));
  }
}

void fill_normal(const ExecSpace& exec, RandomStream stream, NormalDistribution distribution, std::int64_t index_offset,
                 View1D<float> out) {
  fill_values(exec, stream, distribution, index_offset, out.data(), out.extent(0));
}

}  // namespace m2
