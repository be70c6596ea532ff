// SPDX-License-Identifier: Apache-2.0
#include "kernels/panel_layout.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <span>
#include <vector>

#include "core/error.hpp"
#include "kernels/panel_gemm.hpp"

namespace m2 {
namespace {

constexpr bool kHostReachesWeights = Kokkos::SpaceAccessibility<HostSpace, MemorySpace>::accessible;
/// Pairs moved at once: a tile of 64 rows stays in the first-level cache.
constexpr int kPairsPerTile = 32;

using Places = std::array<int, kPanelRows>;

constexpr Places places(bool is_fp8) {
  Places place_R{};
  for (int r = 0; r < kPanelRows; ++r) place_R[r] = is_fp8 ? fp8_panel_place(r) : r;
  return place_R;
}

/// Calls move(index in rows, index in panel) for the pairs of rows [begin, end).
template <class Move>
void for_pairs(int num_pairs, int begin, int end, const Places& place_R, const Move& move) {
  for (int tile = 0; tile < num_pairs; tile += kPairsPerTile) {
    const int tile_end = std::min(tile + kPairsPerTile, num_pairs);
    for (int r = begin; r < end; ++r) {
      const std::int64_t row = std::int64_t(r - begin) * num_pairs;
      const int place = place_R[r];
      for (int p = tile; p < tile_end; ++p) move(row + p, std::int64_t(p) * kPanelRows + place);
    }
  }
}

template <class Pair>
void pack(int num_pairs, const Pair* rows, Pair* panel) {
  static constexpr Places kPlaces = places(sizeof(Pair) == 2);
  for_pairs(num_pairs, 0, kPanelRows, kPlaces, [=](std::int64_t row, std::int64_t place) { panel[place] = rows[row]; });
}

template <class Pair>
void unpack(int num_pairs, const Pair* panel, int begin, int end, Pair* rows) {
  static constexpr Places kPlaces = places(sizeof(Pair) == 2);
  for_pairs(num_pairs, begin, end, kPlaces, [=](std::int64_t row, std::int64_t place) { rows[row] = panel[place]; });
}

/// pack_panel() of rows that hold no NaN.
void pack_numbers(DType dtype, int num_columns, const std::byte* rows, std::byte* panel) {
  if (dtype == DType::bfloat16) {
    return pack(num_columns / 2, reinterpret_cast<const std::uint32_t*>(rows), reinterpret_cast<std::uint32_t*>(panel));
  }
  pack(num_columns / 2, reinterpret_cast<const std::uint16_t*>(rows), reinterpret_cast<std::uint16_t*>(panel));
}

bool holds_nan(std::span<const std::byte> fp8) {
  int found = 0;
  for (const std::byte value : fp8) found |= (value & std::byte{0x7f}) == std::byte{0x7f};
  return found != 0;
}

}  // namespace

bool panels_fit(DType dtype, int num_rows, int num_columns, int num_row_parts) {
  const bool has_dtype = dtype == DType::bfloat16 || dtype == DType::float8_e4m3fn;
  return kHostReachesWeights && panel_kernel() != nullptr && has_dtype && num_rows > 0 && num_columns > 0 &&
         num_columns % 2 == 0 && num_rows / num_row_parts % kPanelRows == 0;
}

std::int64_t panel_bytes(DType dtype, int num_columns) {
  return std::int64_t(num_columns) * kPanelRows * std::int64_t(size_bytes(dtype));
}

void pack_panel(DType dtype, int num_columns, const std::byte* rows, std::byte* panel) {
  M2_REQUIRE(dtype != DType::float8_e4m3fn || !holds_nan({rows, std::size_t(panel_bytes(dtype, num_columns))}),
             "a float8_e4m3fn weight holds NaN: the checkpoint is damaged; 'm2-convert verify' says where");
  pack_numbers(dtype, num_columns, rows, panel);
}

void unpack_panel(DType dtype, int num_columns, const std::byte* panel, int begin, int end, std::byte* rows) {
  if (dtype == DType::bfloat16) {
    return unpack(num_columns / 2, reinterpret_cast<const std::uint32_t*>(panel), begin, end,
                  reinterpret_cast<std::uint32_t*>(rows));
  }
  unpack(num_columns / 2, reinterpret_cast<const std::uint16_t*>(panel), begin, end,
         reinterpret_cast<std::uint16_t*>(rows));
}

void rearrange_panels(const ExecSpace& exec, DType dtype, int num_columns, std::int64_t num_panels, WeightLayout layout,
                      std::byte* values) {
  if constexpr (kHostReachesWeights) {
    const std::int64_t bytes = panel_bytes(dtype, num_columns);
    if (layout == WeightLayout::panels && dtype == DType::float8_e4m3fn) {
      M2_REQUIRE(!holds_nan({values, std::size_t(num_panels * bytes)}), "a float8_e4m3fn weight holds NaN");
    }
    Kokkos::parallel_for("m2::rearrange_panels",
                         Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(exec, 0, num_panels),
                         [=](std::int64_t i) {
                           thread_local std::vector<std::byte> before;
                           std::byte* const panel = values + i * bytes;
                           before.assign(panel, panel + bytes);
                           if (layout == WeightLayout::panels) {
                             pack_numbers(dtype, num_columns, before.data(), panel);
                           } else {
                             unpack_panel(dtype, num_columns, before.data(), 0, kPanelRows, panel);
                           }
                         });
    exec.fence("m2::rearrange_panels: the layout is changed");
  }
}

}  // namespace m2
