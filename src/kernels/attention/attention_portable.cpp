// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/attention.hpp"
#include "kernels/attention/attention_variants.hpp"
#include "kernels/common/math.hpp"
#include "kernels/common/rows.hpp"

namespace m2 {

template <class T>
void attention_portable(const ExecSpace& exec, View2D<const T> q_TN, const KvPages<T>& cache, const BatchLayout& layout,
                        float scale, View2D<T> out_TN, View2D<float> lse_TH) {
  using Scratch = Kokkos::View<float*, ExecSpace::scratch_memory_space, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;
  const View4D<const T> k_NGCP = cache.k_NGCP, v_NGPC = cache.v_NGPC;
  const View1D<const int> sequence_T = layout.sequence_T, cache_position_T = layout.cache_position_T;
  const View2D<const int> page_table_BN = layout.page_table_BN;
  const int head_size = k_NGCP.extent_int(2);
  const int num_heads = q_TN.extent_int(1) / head_size, group = num_heads / k_NGCP.extent_int(1);
  const std::size_t scratch_bytes = 2 * Scratch::shmem_size(kMaxHeadSize) + Scratch::shmem_size(kKvPage);
  const bool writes_lse = lse_TH.size() > 0;
  const auto policy =
      row_policy(exec, q_TN.extent_int(0) * num_heads).set_scratch_size(0, Kokkos::PerTeam(scratch_bytes));
  Kokkos::parallel_for(
      "m2::attention", policy, KOKKOS_LAMBDA(const RowMember& team) {
        const int t = team.league_rank() / num_heads, h = team.league_rank() % num_heads, g = h / group;
        const Scratch q_view(team.team_scratch(0), kMaxHeadSize), sum_view(team.team_scratch(0), kMaxHeadSize),
            score_view(team.team_scratch(0), kKvPage);
        float *q = q_view.data(), *weighted_sum = sum_view.data(), *score = score_view.data();
        const T* q_stored = row(q_TN, t) + h * head_size;
        row_store(team, head_size, q, [=](int c) { return float(q_stored[c]); });
        row_store(team, head_size, weighted_sum, [=](int) { return 0.0f; });
        float largest = -Kokkos::Experimental::infinity_v<float>, total = 0.0f;
        for (int begin = 0; begin <= cache_position_T(t); begin += kKvPage) {
          const int page = page_table_BN(sequence_T(t), begin / kKvPage);
          // int(): Kokkos::min takes references, and a device has no address for kKvPage.
          const int visible = Kokkos::min(int(kKvPage), cache_position_T(t) + 1 - begin);
          const T* keys = &k_NGCP(page, g, 0, 0);
          const T* values = &v_NGPC(page, g, 0, 0);
          team.team_barrier();
          row_store(team, visible, score, [=](int p) {
            float product = 0.0f;
            for (int c = 0; c < head_size; ++c)
              product = fused_multiply_add(q[c], float(keys[c * kKvPage + p]), product);
            return product * scale;
          });
          team.team_barrier();
          const float page_largest = row_largest(team, visible, [=](int p) { return score[p]; }).value;
          const float new_largest = Kokkos::max(largest, page_largest);
          const float shrink = exponential(largest - new_largest);
          row_store(team, visible, score, [=](int p) { return exponential(score[p] - new_largest); });
          team.team_barrier();
          total = total * shrink + row_sum(team, visible, [=](int p) { return score[p]; });
          row_store(team, head_size, weighted_sum, [=](int c) {
            float sum = weighted_sum[c] * shrink;
            for (int p = 0; p < visible; ++p) sum = fused_multiply_add(score[p], float(values[p * head_size + c]), sum);
            return sum;
          });
          largest = new_largest;
        }
        row_store(team, head_size, row(out_TN, t) + h * head_size, [=](int c) { return weighted_sum[c] / total; });
        if (writes_lse) Kokkos::single(Kokkos::PerTeam(team), [&] { lse_TH(t, h) = largest + Kokkos::log(total); });
      });
}

template void attention_portable<float>(const ExecSpace&, View2D<const float>, const KvPages<float>&,
                                        const BatchLayout&, float, View2D<float>, View2D<float>);
template void attention_portable<Bf16>(const ExecSpace&, View2D<const Bf16>, const KvPages<Bf16>&, const BatchLayout&,
                                       float, View2D<Bf16>, View2D<float>);

}  // namespace m2
