// SPDX-License-Identifier: Apache-2.0
// What adamw and sgd share: tiles over flat arrays, moments in float32 or bfloat16, updates that bfloat16 does not
// show.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/common/philox.hpp"
#include "kernels/common/rows.hpp"
#include "kernels/weights/random_fill.hpp"

namespace m2 {

/// Elements that share one block of Philox.
inline constexpr int kRoundingGroup = 4;
/// Elements of a tile, whose loops have a constant trip count; every tile begins at a multiple of kRoundingGroup.
inline constexpr int kUpdateTile = kRunsOnHost ? kRowTile : kRoundingGroup;
/// Elements that one thread takes at a time.
inline constexpr std::int64_t kUpdateChunk = kRunsOnHost ? 64 * kUpdateTile : kUpdateTile;

/// Where the random numbers of stochastic rounding come from: element i of a parameter (`stream`) takes word i % 4 of
/// the Philox block with the counter (i / 4, stream, step), whatever threads there are; the first moment its lower
/// half, the second its upper one.
struct RoundingRandom {
  std::uint64_t seed;
  std::uint32_t stream, step;

  /// word[l] of elements first ... first + kWidth - 1.
  template <int kWidth>
  KOKKOS_FORCEINLINE_FUNCTION void draw(std::int64_t first, std::uint32_t (&word)[kWidth]) const {
    constexpr std::uint32_t kOfOptimizers = 0x80000000u;  // streams of initial values are below
    constexpr int kGroups = (kWidth + kRoundingGroup - 1) / kRoundingGroup;
    std::uint32_t random[kGroups * kRoundingGroup];
    philox_blocks<kGroups>(std::uint64_t(first) / kRoundingGroup, stream | kOfOptimizers, step, std::uint32_t(seed),
                           std::uint32_t(seed >> 32), random);
    const int skipped = kWidth == 1 ? int(first % kRoundingGroup) : 0;
    for (int l = 0; l < kWidth; ++l) word[l] = random[skipped + l];
  }
};

/// `value` as bfloat16, the next one towards or away from zero by chance, so that the mean is `value`: `random16` is
/// uniform in 0 ... 65535. A bfloat16, an infinity and a NaN stay what they are.
KOKKOS_FORCEINLINE_FUNCTION Bf16 stochastic_bf16(float value, std::uint32_t random16) {
  const auto u = Kokkos::bit_cast<std::uint32_t>(value);
  const bool is_nan = (u & 0x7fffffffu) > 0x7f800000u;
  Bf16 out;
  out.bits = std::uint16_t((is_nan ? u | 0x400000u : u + random16) >> 16);
  return out;
}

/// out[l] = value[l], rounded as `random16(l)` says where out is bfloat16.
template <class M, int kWidth, class Random16>
KOKKOS_FORCEINLINE_FUNCTION void store_moments(const float (&value)[kWidth], M* out, const Random16& random16) {
  for (int l = 0; l < kWidth; ++l) {
    if constexpr (std::is_same_v<M, Bf16>) {
      out[l] = stochastic_bf16(value[l], random16(l));
    } else {
      out[l] = value[l];
    }
  }
}

/// How many finite values changed and round to the same bfloat16 as before.
template <int kWidth>
KOKKOS_FORCEINLINE_FUNCTION int count_lost(const float (&before)[kWidth], const float (&after)[kWidth]) {
  // As Bf16 rounds, without its care for NaN and without leaving 32 bits, which takes half the time.
  const auto rounded = [](std::uint32_t bits) { return bits + 0x7fffu + ((bits >> 16) & 1u); };
  int lost = 0;
  for (int l = 0; l < kWidth; ++l) {
    const auto from = Kokkos::bit_cast<std::uint32_t>(before[l]), to = Kokkos::bit_cast<std::uint32_t>(after[l]);
    lost += int(from != to) & int((rounded(from) ^ rounded(to)) < 0x10000u);
  }
  return lost;
}

/// Calls update(first, std::integral_constant<int, width>) for tiles that cover 0 ... size - 1; it returns how many
/// updates bfloat16 does not show. Their sum overwrites lost[0] where `lost` is not empty.
template <class Update>
void for_update_tiles(const ExecSpace& exec, const char* label, std::int64_t size, const Update& update,
                      const View1D<std::int64_t>& lost) {
  const Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>> policy(
      exec, 0, (size + kUpdateChunk - 1) / kUpdateChunk);
  const auto chunk_update = KOKKOS_LAMBDA(std::int64_t chunk) {
    constexpr std::integral_constant<int, 1> one;
    constexpr std::integral_constant<int, kUpdateTile> whole_tile;
    const std::int64_t left = size - chunk * kUpdateChunk;
    const std::int64_t end = chunk * kUpdateChunk + (left < kUpdateChunk ? left : kUpdateChunk);
    std::int64_t first = chunk * kUpdateChunk, num_lost = 0;
    for (; first + kUpdateTile <= end; first += kUpdateTile) num_lost += update(first, whole_tile);
    for (; first < end; ++first) num_lost += update(first, one);
    return num_lost;
  };
  if (lost.extent(0) == 0) {
    Kokkos::parallel_for(label, policy, KOKKOS_LAMBDA(std::int64_t chunk) { chunk_update(chunk); });
  } else {
    using Sum = Kokkos::View<std::int64_t, MemorySpace>;
    Kokkos::parallel_reduce(
        label, policy, KOKKOS_LAMBDA(std::int64_t chunk, std::int64_t& sum) { sum += chunk_update(chunk); },
        Sum(lost.data()));
  }
}

}  // namespace m2
