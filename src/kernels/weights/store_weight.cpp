// SPDX-License-Identifier: Apache-2.0
#include "kernels/weights/store_weight.hpp"

#include <limits>
#include <vector>

#include "core/error.hpp"
#include "kernels/common/operation_cost.hpp"
#include "kernels/common/rows.hpp"
#include "kernels/weights/fp8_grid.hpp"
#include "kernels/weights/quantize.hpp"

namespace m2 {
namespace {

using PanelPolicy = Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>;

template <class View>
void require_shape(const char* operation, const View& values_ENK, const Weight& weight) {
  require_same(operation, "matrices of values_ENK", values_ENK.extent(0), "matrices of the weight",
               std::size_t(weight.num_matrices()));
  require_same(operation, "rows of values_ENK", values_ENK.extent(1), "rows of the weight",
               std::size_t(weight.num_rows()));
  require_same(operation, "columns of values_ENK", values_ENK.extent(2), "columns of the weight",
               std::size_t(weight.num_columns()));
}

std::int64_t num_panels(const Weight& weight) {
  return std::int64_t(weight.num_matrices()) * weight.num_rows() / kPanelRows;
}

template <class W>
void store_rows(const ExecSpace& exec, const View3D<const float>& values_ENK, const View3D<W>& out_ENK) {
  const int width = values_ENK.extent_int(2), num_rows = values_ENK.extent_int(0) * values_ENK.extent_int(1);
  const float* const values = values_ENK.data();
  W* const out = out_ENK.data();
  Kokkos::parallel_for(
      "m2::store_weight", row_policy(exec, num_rows), KOKKOS_LAMBDA(const RowMember& team) {
        const std::int64_t first = std::int64_t(team.league_rank()) * width;
        const float* const row = values + first;
        row_store(team, width, out + first, [=](int k) { return row[k]; });
      });
}

void store_bf16_panels(const ExecSpace& exec, const View3D<const float>& values_ENK, const Weight& weight) {
  if constexpr (kHostReachesWeights) {
    const int num_columns = weight.num_columns();
    const std::int64_t panel_values = std::int64_t(kPanelRows) * num_columns;
    const std::int64_t bytes = panel_bytes(DType::bfloat16, num_columns);
    const float* const values = values_ENK.data();
    std::byte* const panels = weight.data();
    Kokkos::parallel_for("m2::store_weight::panels", PanelPolicy(exec, 0, num_panels(weight)), [=](std::int64_t panel) {
      thread_local std::vector<Bf16> rows;
      rows.resize(std::size_t(panel_values));
      const float* const from = values + panel * panel_values;
      for (std::int64_t i = 0; i < panel_values; ++i) rows[std::size_t(i)] = Bf16(from[i]);
      pack_panel(DType::bfloat16, num_columns, reinterpret_cast<const std::byte*>(rows.data()), panels + panel * bytes);
    });
  }
}

/// Largest magnitude of a block; NaN or infinity where it holds such.
KOKKOS_INLINE_FUNCTION float largest_magnitude(const RowMember& team, const float* block, int num_rows, int num_columns,
                                               int stride) {
  std::uint32_t largest = 0;  // the bits of magnitudes are ordered as the numbers, infinity and NaN above all
  Kokkos::parallel_reduce(
      Kokkos::TeamThreadRange(team, num_rows),
      [&](int i, std::uint32_t& most) {
        const float* const row = block + std::int64_t(i) * stride;
        std::uint32_t of_row = 0;
        Kokkos::parallel_reduce(
            Kokkos::ThreadVectorRange(team, num_columns),
            [&](int k, std::uint32_t& part) {
              const std::uint32_t magnitude = Kokkos::bit_cast<std::uint32_t>(row[k]) & 0x7fffffffu;
              part = magnitude > part ? magnitude : part;
            },
            Kokkos::Max<std::uint32_t>(of_row));
        most = of_row > most ? of_row : most;
      },
      Kokkos::Max<std::uint32_t>(largest));
  return Kokkos::bit_cast<float>(largest);
}

void store_fp8(const ExecSpace& exec, const View3D<const float>& values_ENK, const Weight& weight) {
  const Fp8Grid grid = fp8_grid(weight);
  const View3D<float> scale_inv = weight.scale_inv();
  const float* const values = values_ENK.data();
  auto* const q = reinterpret_cast<Fp8E4M3*>(weight.data());
  const bool in_panels = weight.layout() == WeightLayout::panels;
  int num_bad = 0;
  Kokkos::parallel_reduce(
      "m2::store_weight::fp8", row_policy(exec, int(scale_inv.size())),
      KOKKOS_LAMBDA(const RowMember& team, int& bad) {
        const Fp8GridBlock block = fp8_grid_block(grid, team.league_rank());
        const int num_columns = grid.num_columns;
        const std::int64_t matrix = std::int64_t(block.matrix) * grid.num_rows * num_columns;
        const float* const from = values + matrix + std::int64_t(block.first_row) * num_columns + block.first_column;
        const float largest = largest_magnitude(team, from, block.num_rows, block.num_columns, num_columns);
        const bool is_finite = largest <= Kokkos::Experimental::finite_max_v<float>;
        const float scale = fp8_scale_inv(is_finite ? largest : 0.0f);
        Kokkos::single(Kokkos::PerTeam(team), [&]() {
          scale_inv(block.matrix, block.scale_row, block.scale_column) = scale;
          bad += is_finite ? 0 : 1;
        });
        Kokkos::parallel_for(Kokkos::TeamThreadRange(team, block.num_rows), [&](int i) {
          Kokkos::parallel_for(Kokkos::ThreadVectorRange(team, block.num_columns), [&](int k) {
            const int row = block.first_row + i, column = block.first_column + k;
            const std::int64_t index =
                in_panels ? fp8_panel_index(row, column, num_columns) : std::int64_t(row) * num_columns + column;
            q[matrix + index] = Fp8E4M3(from[std::int64_t(i) * num_columns + k] / scale);
          });
        });
      },
      num_bad);
  M2_REQUIRE(num_bad == 0, "store_weight: {} of {} blocks of 128 x 128 hold NaN or infinity, which have no FP8 block",
             num_bad, scale_inv.size());
}

/// Element k of a row of a weight; `scale` is nullptr or the row's block scales.
template <class W>
struct ExpandedRow {
  const W* row;
  const float* scale;

  KOKKOS_FORCEINLINE_FUNCTION float operator()(int k) const {
    if constexpr (std::is_same_v<W, Fp8E4M3>) {
      return float(row[k]) * scale[k / kFp8Block];
    } else {
      return float(row[k]);
    }
  }
};

/// The block scales of row n of all matrices' rows; `scales` is nullptr where the weight has none.
struct ScaleRows {
  const float* scales;
  int rows_per_matrix, rows_per_part, scale_rows, scale_columns;

  explicit ScaleRows(const Weight& weight)
      : scales(weight.scale_inv().data()),
        rows_per_matrix(weight.num_rows()),
        rows_per_part(weight.num_rows() / weight.num_row_parts()),
        scale_rows(weight.scale_inv().extent_int(1)),
        scale_columns(weight.scale_inv().extent_int(2)) {}

  KOKKOS_INLINE_FUNCTION const float* of_row(int n) const {
    if (scales == nullptr) return nullptr;
    const int scale_row = n / rows_per_matrix * scale_rows + fp8_scale_row(n % rows_per_matrix, rows_per_part);
    return scales + std::int64_t(scale_row) * scale_columns;
  }
};

template <class W>
void load_rows(const ExecSpace& exec, const Weight& weight, const View3D<float>& values_ENK) {
  const int width = weight.num_columns();
  const ScaleRows scales(weight);
  const W* const rows = weight.values<W>().data();
  float* const values = values_ENK.data();
  Kokkos::parallel_for(
      "m2::load_weight", row_policy(exec, weight.num_matrices() * weight.num_rows()),
      KOKKOS_LAMBDA(const RowMember& team) {
        const int n = team.league_rank();
        const std::int64_t first = std::int64_t(n) * width;
        row_store(team, width, values + first, ExpandedRow<W>{rows + first, scales.of_row(n)});
      });
}

template <class W>
void load_panels(const ExecSpace& exec, const Weight& weight, const View3D<float>& values_ENK) {
  if constexpr (kHostReachesWeights) {
    const int num_columns = weight.num_columns();
    const ScaleRows scales(weight);
    const std::int64_t bytes = panel_bytes(kDTypeOf<W>, num_columns);
    const std::byte* const panels = weight.data();
    float* const values = values_ENK.data();
    Kokkos::parallel_for("m2::load_weight::panels", PanelPolicy(exec, 0, num_panels(weight)), [=](std::int64_t panel) {
      thread_local std::vector<W> rows;
      rows.resize(std::size_t(kPanelRows) * std::size_t(num_columns));
      unpack_panel(kDTypeOf<W>, num_columns, panels + panel * bytes, 0, kPanelRows,
                   reinterpret_cast<std::byte*>(rows.data()));
      for (int r = 0; r < kPanelRows; ++r) {
        const std::int64_t n = panel * kPanelRows + r;
        const ExpandedRow<W> row{rows.data() + std::int64_t(r) * num_columns, scales.of_row(int(n))};
        for (int k = 0; k < num_columns; ++k) values[n * num_columns + k] = row(k);
      }
    });
  }
}

template <class W>
void load(const ExecSpace& exec, const Weight& weight, const View3D<float>& values_ENK) {
  if (weight.layout() == WeightLayout::panels) return load_panels<W>(exec, weight, values_ENK);
  load_rows<W>(exec, weight, values_ENK);
}

OperationCost cost(std::int64_t num_values, const Weight& weight) {
  return {.bytes = num_values * std::int64_t(sizeof(float)) + weight.bytes() + bytes_of(weight.scale_inv())};
}

}  // namespace

void store_weight(const ExecSpace& exec, View3D<const float> values_ENK, const Weight& weight) {
  require_shape("store_weight", values_ENK, weight);
  const LoggedOperation logged(exec, "store_weight", [&] { return cost(std::int64_t(values_ENK.size()), weight); });
  if (values_ENK.size() == 0) return;
  if (weight.dtype() == DType::float8_e4m3fn) return store_fp8(exec, values_ENK, weight);
  if (weight.layout() == WeightLayout::panels) return store_bf16_panels(exec, values_ENK, weight);
  if (weight.dtype() == DType::bfloat16) return store_rows<Bf16>(exec, values_ENK, weight.values<Bf16>());
  store_rows<float>(exec, values_ENK, weight.values<float>());
}

void load_weight(const ExecSpace& exec, const Weight& weight, View3D<float> values_ENK) {
  require_shape("load_weight", values_ENK, weight);
  const LoggedOperation logged(exec, "load_weight", [&] { return cost(std::int64_t(values_ENK.size()), weight); });
  if (values_ENK.size() == 0) return;
  if (weight.dtype() == DType::float8_e4m3fn) return load<Fp8E4M3>(exec, weight, values_ENK);
  if (weight.dtype() == DType::bfloat16) return load<Bf16>(exec, weight, values_ENK);
  load<float>(exec, weight, values_ENK);
}

}  // namespace m2
