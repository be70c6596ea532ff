// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/rope.hpp"

#include "kernels/common/operation_cost.hpp"
#include "kernels/common/rows.hpp"

namespace m2 {

void rope_table(const ExecSpace& exec, View1D<const int> position_T, int rotary_dim, double theta, bool round_to_bf16,
                View2D<float> cos_TJ, View2D<float> sin_TJ) {
  M2_REQUIRE(rotary_dim > 0 && rotary_dim % 2 == 0, "rope_table: rotary_dim is {}, expected a positive even number",
             rotary_dim);
  require_same("rope_table", "columns of cos_TJ", cos_TJ.extent(1), "half of rotary_dim", rotary_dim / 2);
  require_same("rope_table", "rows of cos_TJ", cos_TJ.extent(0), "elements of position_T", position_T.extent(0));
  require_same_shape("rope_table", "cos_TJ", cos_TJ, "sin_TJ", sin_TJ);
  const LoggedOperation logged(exec, "rope_table", [&] { return array_cost(cos_TJ, sin_TJ); });
  const int num_pairs = rotary_dim / 2;
  Kokkos::parallel_for(
      "m2::rope_table", row_policy(exec, cos_TJ.extent_int(0)), KOKKOS_LAMBDA(const RowMember& team) {
        const int t = team.league_rank();
        Kokkos::parallel_for(Kokkos::TeamVectorRange(team, num_pairs), [&](int j) {
          const double angle = position_T(t) * Kokkos::pow(theta, -double(j) / num_pairs);
          const float cosine = float(Kokkos::cos(angle)), sine = float(Kokkos::sin(angle));
          cos_TJ(t, j) = round_to_bf16 ? float(Bf16(cosine)) : cosine;
          sin_TJ(t, j) = round_to_bf16 ? float(Bf16(sine)) : sine;
        });
      });
}

template <class T>
void rope(const ExecSpace& exec, View2D<const float> cos_TJ, View2D<const float> sin_TJ, int head_size,
          bool in_storage_dtype, RopeDirection direction, View2D<T> x_TN) {
  const int num_pairs = cos_TJ.extent_int(1);
  require_same_shape("rope", "cos_TJ", cos_TJ, "sin_TJ", sin_TJ);
  require_same("rope", "rows of cos_TJ", cos_TJ.extent(0), "rows of x_TN", x_TN.extent(0));
  M2_REQUIRE(2 * num_pairs <= head_size, "rope: {} rotated dims exceed the head size {}", 2 * num_pairs, head_size);
  M2_REQUIRE(x_TN.extent_int(1) % head_size == 0, "rope: x_TN has {} columns, not a multiple of the head size {}",
             x_TN.extent(1), head_size);
  const int num_heads = x_TN.extent_int(1) / head_size;
  const bool is_backward = direction == RopeDirection::backward;
  const LoggedOperation logged(exec, is_backward ? "rope_backward" : "rope", [&] {
    const std::int64_t rotated = std::int64_t(cos_TJ.size()) * num_heads;
    return OperationCost{.bytes = 4 * rotated * std::int64_t(sizeof(T))};
  });
  const float sign = is_backward ? -1.0f : 1.0f;
  Kokkos::parallel_for(
      "m2::rope", row_policy(exec, x_TN.extent_int(0)), KOKKOS_LAMBDA(const RowMember& team) {
        const int t = team.league_rank();
        const float* cosine = row(cos_TJ, t);
        const float* sine = row(sin_TJ, t);
        const auto product = [=](float a, float b) { return in_storage_dtype ? float(T(a * b)) : a * b; };
        Kokkos::parallel_for(Kokkos::TeamThreadRange(team, num_heads), [&](int h) {
          T* first = row(x_TN, t) + h * head_size;
          T* second = first + num_pairs;
          Kokkos::parallel_for(Kokkos::ThreadVectorRange(team, num_pairs), [&](int j) {
            const float a = first[j], b = second[j], s = sign * sine[j];
            first[j] = T(product(a, cosine[j]) - product(b, s));
            second[j] = T(product(b, cosine[j]) + product(a, s));
          });
        });
      });
}

template void rope<float>(const ExecSpace&, View2D<const float>, View2D<const float>, int, bool, RopeDirection,
                          View2D<float>);
template void rope<Bf16>(const ExecSpace&, View2D<const float>, View2D<const float>, int, bool, RopeDirection,
                         View2D<Bf16>);

}  // namespace m2
