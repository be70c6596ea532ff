// SPDX-License-Identifier: Apache-2.0
#include "kernels/panels/panel_layout.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <span>
#include <vector>

#include "core/error.hpp"
#include "kernels/panels/panel_gemm.hpp"

#if defined(__x86_64__) && !defined(__CUDACC__)
#include <immintrin.h>
#define M2_HAS_SSE2
#endif

namespace m2 {
namespace {

/// Pairs moved at once: a tile of 64 rows stays in the first-level cache.
constexpr int kPairsPerTile = 32;

using Places = std::array<int, kPanelRows>;

constexpr Places places(bool is_fp8) {
  Places place_R{};
  for (int r = 0; r < kPanelRows; ++r) place_R[r] = is_fp8 ? fp8_panel_place(r) : r;
  return place_R;
}

/// Calls move(index in rows, index in panel) for the pairs of rows [begin, end) from `first_pair` on.
template <class Move>
void for_pairs(int num_pairs, int first_pair, int begin, int end, const Places& place_R, const Move& move) {
  for (int tile = first_pair; tile < num_pairs; tile += kPairsPerTile) {
    const int tile_end = std::min(tile + kPairsPerTile, num_pairs);
    for (int r = begin; r < end; ++r) {
      const std::int64_t row = std::int64_t(r - begin) * num_pairs;
      const int place = place_R[r];
      for (int p = tile; p < tile_end; ++p) move(row + p, std::int64_t(p) * kPanelRows + place);
    }
  }
}

template <class Pair>
void pack(int num_pairs, int first_pair, const Pair* rows, Pair* panel) {
  static constexpr Places kPlaces = places(sizeof(Pair) == 2);
  for_pairs(num_pairs, first_pair, 0, kPanelRows, kPlaces,
            [=](std::int64_t row, std::int64_t place) { panel[place] = rows[row]; });
}

#ifdef M2_HAS_SSE2
/// Eight pairs of eight rows become eight rows of eight pairs.
void transpose(__m128i (&v)[8]) {
  // A perfect shuffle of 64 elements doubles their index modulo 63; three of them exchange its two octal digits.
  for (int round = 0; round < 3; ++round) {
    __m128i out[8];
    for (int i = 0; i < 4; ++i) {
      out[2 * i] = _mm_unpacklo_epi16(v[i], v[i + 4]);
      out[2 * i + 1] = _mm_unpackhi_epi16(v[i], v[i + 4]);
    }
    std::copy_n(out, 8, v);
  }
}

/// Packs a panel in FP8 but for the last num_pairs % 8 pairs; returns how many it did. Element by element it takes
/// longer than reading the file.
int pack_eights(int num_pairs, const std::uint16_t* rows, std::uint16_t* panel) {
  for (int tile = 0; tile + 8 <= num_pairs; tile += kPairsPerTile) {
    for (int place = 0; place < kPanelRows; place += 8) {
      const int row = place / 32 * 32 + place % 32 / 2;  // and the three after it, and those 16 further down
      for (int p = tile; p < tile + kPairsPerTile && p + 8 <= num_pairs; p += 8) {
        __m128i block[8];
        for (int i = 0; i < 8; ++i) {
          const std::int64_t from = std::int64_t(row + i % 4 + i / 4 * 16) * num_pairs + p;
          block[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows + from));
        }
        transpose(block);
        for (int i = 0; i < 8; ++i)
          _mm_storeu_si128(reinterpret_cast<__m128i*>(panel + std::int64_t(p + i) * kPanelRows + place), block[i]);
      }
    }
  }
  return num_pairs / 8 * 8;
}
#else
int pack_eights(int, const std::uint16_t*, std::uint16_t*) { return 0; }
#endif

/// Rows [begin, end) of a panel, of which read(index) is a pair.
template <class Pair, class Read>
void unpack(int num_pairs, int begin, int end, const Read& read, Pair* rows) {
  static constexpr Places kPlaces = places(sizeof(Pair) == 2);
  for_pairs(num_pairs, 0, begin, end, kPlaces, [=](std::int64_t row, std::int64_t place) { rows[row] = read(place); });
}

/// pack_panel() of rows that hold no NaN.
void pack_numbers(DType dtype, int num_columns, const std::byte* rows, std::byte* panel) {
  const int num_pairs = num_columns / 2;
  if (dtype == DType::bfloat16) {
    return pack(num_pairs, 0, reinterpret_cast<const std::uint32_t*>(rows), reinterpret_cast<std::uint32_t*>(panel));
  }
  const auto* const from = reinterpret_cast<const std::uint16_t*>(rows);
  auto* const to = reinterpret_cast<std::uint16_t*>(panel);
  pack(num_pairs, pack_eights(num_pairs, from, to), from, to);
}

bool holds_nan(std::span<const std::byte> fp8) {
  std::uint8_t found = 0;
  for (const std::byte value : fp8) found |= std::uint8_t((value & std::byte{0x7f}) == std::byte{0x7f});
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
  const int num_pairs = num_columns / 2;
  if (dtype == DType::bfloat16) {
    const auto* const from = reinterpret_cast<const std::uint32_t*>(panel);
    return unpack(
        num_pairs, begin, end, [=](std::int64_t i) { return from[i]; }, reinterpret_cast<std::uint32_t*>(rows));
  }
  const auto* const from = reinterpret_cast<const std::uint16_t*>(panel);
  auto* const to = reinterpret_cast<std::uint16_t*>(rows);
  unpack(num_pairs, begin, end, [=](std::int64_t i) { return from[i]; }, to);
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
