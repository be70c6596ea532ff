// SPDX-License-Identifier: Apache-2.0
#include "kernels/rowwise/rms_norm.hpp"

#include "kernels/common/operation_cost.hpp"
#include "kernels/common/rows.hpp"

namespace m2 {
namespace {

// Rows whose share of the weight's gradient one team adds up: enough of them that adding the blocks' sums is little
// work.
constexpr int kBlockRows = 64;

template <class T>
KOKKOS_FORCEINLINE_FUNCTION float inverse_rms(const RowMember& team, int width, const T* x, float eps) {
  const float sum_of_squares = row_sum(team, width, [=](int d) { return float(x[d]) * float(x[d]); });
  return 1.0f / Kokkos::sqrt(sum_of_squares / float(width) + eps);
}

// dweight += the rows of `partial`, added in ascending order.
void add_partials(const ExecSpace& exec, View2D<const float> partial_BD, View1D<float> dweight_D) {
  const int num_blocks = partial_BD.extent_int(0), width = partial_BD.extent_int(1);
  const int num_tiles = (width + kRowTile - 1) / kRowTile;
  Kokkos::parallel_for(
      "m2::rms_norm_backward::weight", row_policy(exec, num_tiles), KOKKOS_LAMBDA(const RowMember& team) {
        const int begin = team.league_rank() * kRowTile;
        float* dweight = dweight_D.data() + begin;
        const int count = width - begin < kRowTile ? width - begin : kRowTile;
        row_tiles(team, count, [&](int first, auto tile_width) {
          constexpr int kWidth = decltype(tile_width)::value;
          float total[kWidth] = {};
          for (int b = 0; b < num_blocks; ++b) {
            const float* partial = row(partial_BD, b) + begin + first;
            for (int l = 0; l < kWidth; ++l) total[l] += partial[l];
          }
          for (int l = 0; l < kWidth; ++l) dweight[first + l] += total[l];
        });
      });
}

}  // namespace

template <class T>
void rms_norm(const ExecSpace& exec, View2D<const T> x_TD, View1D<const float> weight_D, float eps, RmsNormOrder order,
              View2D<T> out_TD) {
  require_same("rms_norm", "elements of weight_D", weight_D.extent(0), "columns of x_TD", x_TD.extent(1));
  require_same_shape("rms_norm", "x_TD", x_TD, "out_TD", out_TD);
  const LoggedOperation logged(exec, "rms_norm", [&] { return array_cost(x_TD, out_TD); });
  const int width = x_TD.extent_int(1);
  const bool cast_first = order == RmsNormOrder::cast_first;
  Kokkos::parallel_for(
      "m2::rms_norm", row_policy(exec, x_TD.extent_int(0)), KOKKOS_LAMBDA(const RowMember& team) {
        const T* x = row(x_TD, team.league_rank());
        const float* weight = weight_D.data();
        const float scale = inverse_rms(team, width, x, eps);
        row_store(team, width, row(out_TD, team.league_rank()), [=](int d) {
          const float normalised = float(x[d]) * scale;
          return weight[d] * (cast_first ? float(T(normalised)) : normalised);
        });
      });
}

std::int64_t rms_norm_backward_scratch(std::int64_t num_rows, std::int64_t width) {
  return (num_rows + kBlockRows - 1) / kBlockRows * width;
}

template <class T>
void rms_norm_backward(const ExecSpace& exec, View2D<const T> x_TD, View1D<const float> weight_D, float eps,
                       View2D<const T> dout_TD, View1D<float> scratch, View2D<T> dx_TD, View1D<float> dweight_D) {
  require_same("rms_norm_backward", "elements of weight_D", weight_D.extent(0), "columns of x_TD", x_TD.extent(1));
  require_same_shape("rms_norm_backward", "x_TD", x_TD, "dout_TD", dout_TD);
  require_same_shape("rms_norm_backward", "x_TD", x_TD, "dx_TD", dx_TD);
  const int num_rows = x_TD.extent_int(0), width = x_TD.extent_int(1);
  const bool weight_too = dweight_D.extent(0) > 0;
  if (weight_too) {
    require_same("rms_norm_backward", "elements of dweight_D", dweight_D.extent(0), "columns of x_TD", x_TD.extent(1));
    const std::int64_t scratch_size = rms_norm_backward_scratch(num_rows, width);
    M2_REQUIRE(std::int64_t(scratch.extent(0)) >= scratch_size,
               "rms_norm_backward: scratch has {} elements, {} are needed", scratch.extent(0), scratch_size);
  }
  const LoggedOperation logged(exec, "rms_norm_backward", [&] { return array_cost(x_TD, dout_TD, dx_TD); });
  // Without dweight no sum crosses rows, and each row is a task.
  const int rows_per_team = weight_too ? kBlockRows : 1;
  const int num_teams = (num_rows + rows_per_team - 1) / rows_per_team;
  const View2D<float> partial_BD(scratch.data(), weight_too ? num_teams : 0, width);
  Kokkos::parallel_for(
      "m2::rms_norm_backward", row_policy(exec, num_teams), KOKKOS_LAMBDA(const RowMember& team) {
        const float* weight = weight_D.data();
        float* partial = weight_too ? row(partial_BD, team.league_rank()) : nullptr;
        const int begin = team.league_rank() * rows_per_team, end = Kokkos::min(begin + rows_per_team, num_rows);
        for (int t = begin; t < end; ++t) {
          const T* x = row(x_TD, t);
          const T* dout = row(dout_TD, t);
          const float scale = inverse_rms(team, width, x, eps);
          const float product = row_sum(team, width, [=](int d) { return float(x[d]) * (weight[d] * float(dout[d])); });
          const float along_x = scale * scale * (product / float(width));
          if (weight_too) {  // before dx, which may be dout
            const bool is_first = t == begin;
            row_store(team, width, partial,
                      [=](int d) { return (is_first ? 0.0f : partial[d]) + float(dout[d]) * (float(x[d]) * scale); });
          }
          row_store(team, width, row(dx_TD, t),
                    [=](int d) { return scale * (weight[d] * float(dout[d]) - float(x[d]) * along_x); });
        }
      });
  if (weight_too) add_partials(exec, partial_BD, dweight_D);
}

template void rms_norm<float>(const ExecSpace&, View2D<const float>, View1D<const float>, float, RmsNormOrder,
                              View2D<float>);
template void rms_norm<Bf16>(const ExecSpace&, View2D<const Bf16>, View1D<const float>, float, RmsNormOrder,
                             View2D<Bf16>);
template void rms_norm_backward<float>(const ExecSpace&, View2D<const float>, View1D<const float>, float,
                                       View2D<const float>, View1D<float>, View2D<float>, View1D<float>);
template void rms_norm_backward<Bf16>(const ExecSpace&, View2D<const Bf16>, View1D<const float>, float,
                                      View2D<const Bf16>, View1D<float>, View2D<Bf16>, View1D<float>);

}  // namespace m2
