// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/attention.hpp"
#include "kernels/attention/attention_backward_variants.hpp"
#include "kernels/common/math.hpp"
#include "kernels/common/rows.hpp"

namespace m2 {
namespace {

using Scratch = Kokkos::View<float*, ExecSpace::scratch_memory_space, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;

// One team per token and one of `num_heads` heads, with memory for `num_rows` heads' channels and two pages.
RowPolicy policy_of(const ExecSpace& exec, int num_tokens, int num_heads, int num_rows) {
  const std::size_t bytes = num_rows * Scratch::shmem_size(kMaxHeadSize) + 2 * Scratch::shmem_size(kKvPage);
  return row_policy(exec, num_tokens * num_heads).set_scratch_size(0, Kokkos::PerTeam(bytes));
}

KOKKOS_INLINE_FUNCTION float* take(const RowMember& team, int count) {
  return Scratch(team.team_scratch(0), count).data();
}

// The sum over c < count of a[c * a_stride] * b[c * b_stride], c ascending.
template <class A, class B>
KOKKOS_INLINE_FUNCTION float chain(int count, const A* a, int a_stride, const B* b, int b_stride) {
  float sum = 0.0f;
  for (int c = 0; c < count; ++c) sum = fused_multiply_add(float(a[c * a_stride]), float(b[c * b_stride]), sum);
  return sum;
}

template <class T>
void add_keys_and_values(const ExecSpace& exec, const AttentionBackward<T>& of) {
  const int num_kv_heads = of.num_kv_heads(), head_size = of.head_size(), group = of.group();
  Kokkos::parallel_for(
      "m2::attention_backward::keys_values", policy_of(exec, of.num_tokens(), num_kv_heads, 4),
      KOKKOS_LAMBDA(const RowMember& team) {
        const int t = team.league_rank() / num_kv_heads, g = team.league_rank() % num_kv_heads;
        const int b = find_range(of.num_sequences(), t, [&](int i) { return of.sequence_begin_B1(i); });
        const int first_token = of.sequence_begin_B1(b), num_positions = of.sequence_begin_B1(b + 1) - first_token;
        const int p = t - first_token, page = of.layout.page_table_BN(of.layout.sequence_T(t), p / kKvPage);
        const T* keys = &of.k_NGCP(page, g, 0, p % kKvPage);
        const T* values = &of.v_NGPC(page, g, p % kKvPage, 0);
        float *k = take(team, kMaxHeadSize), *v = take(team, kMaxHeadSize), *dk = take(team, kMaxHeadSize),
              *dv = take(team, kMaxHeadSize), *weight = take(team, kKvPage), *dscore = take(team, kKvPage);
        row_store(team, head_size, k, [=](int c) { return float(keys[c * kKvPage]); });
        row_store(team, head_size, v, [=](int c) { return float(values[c]); });
        row_store(team, head_size, dk, [=](int) { return 0.0f; });
        row_store(team, head_size, dv, [=](int) { return 0.0f; });
        for (int begin = p; begin < num_positions; begin = (begin / kKvPage + 1) * kKvPage) {
          const int rows = Kokkos::min(num_positions, (begin / kKvPage + 1) * kKvPage) - begin;
          for (int h = g * group; h < (g + 1) * group; ++h) {
            const T* q = row(of.q_TN, first_token + begin) + h * head_size;
            const T* dout = row(of.dout_TN, first_token + begin) + h * head_size;
            const int stride = of.q_TN.extent_int(1);
            team.team_barrier();
            row_store(team, rows, weight, [&](int r) {
              const float score = chain(head_size, q + std::int64_t(r) * stride, 1, k, 1) * of.scale;
              return exponential(score - of.lse_TH(first_token + begin + r, h));
            });
            team.team_barrier();
            row_store(team, rows, dscore, [&](int r) {
              const float dweight = chain(head_size, dout + std::int64_t(r) * stride, 1, v, 1);
              return weight[r] * (dweight - of.delta_TH(first_token + begin + r, h));
            });
            team.team_barrier();
            row_store(team, head_size, dv, [=](int c) {
              float sum = dv[c];
              for (int r = 0; r < rows; ++r)
                sum = fused_multiply_add(weight[r], float(dout[std::int64_t(r) * stride + c]), sum);
              return sum;
            });
            row_store(team, head_size, dk, [=](int c) {
              float sum = dk[c];
              for (int r = 0; r < rows; ++r)
                sum = fused_multiply_add(dscore[r], float(q[std::int64_t(r) * stride + c]), sum);
              return sum;
            });
          }
        }
        team.team_barrier();
        row_store(team, head_size, row(of.dk_TM, t) + g * head_size, [=](int c) { return of.scale * dk[c]; });
        row_store(team, head_size, row(of.dv_TM, t) + g * head_size, [=](int c) { return dv[c]; });
      });
}

template <class T>
void add_queries(const ExecSpace& exec, const AttentionBackward<T>& of) {
  const int num_heads = of.num_heads(), head_size = of.head_size(), group = of.group();
  Kokkos::parallel_for(
      "m2::attention_backward::queries", policy_of(exec, of.num_tokens(), num_heads, 3),
      KOKKOS_LAMBDA(const RowMember& team) {
        const int t = team.league_rank() / num_heads, h = team.league_rank() % num_heads;
        const int last = of.layout.cache_position_T(t);
        float *q = take(team, kMaxHeadSize), *dout = take(team, kMaxHeadSize), *dq = take(team, kMaxHeadSize),
              *weight = take(team, kKvPage), *dscore = take(team, kKvPage);
        const T* q_stored = row(of.q_TN, t) + h * head_size;
        const T* dout_stored = row(of.dout_TN, t) + h * head_size;
        row_store(team, head_size, q, [=](int c) { return float(q_stored[c]); });
        row_store(team, head_size, dout, [=](int c) { return float(dout_stored[c]); });
        row_store(team, head_size, dq, [=](int) { return 0.0f; });
        for (int begin = 0; begin <= last; begin += kKvPage) {
          const int page = of.layout.page_table_BN(of.layout.sequence_T(t), begin / kKvPage);
          // int(): Kokkos::min takes references, and a device has no address for kKvPage.
          const int visible = Kokkos::min(int(kKvPage), last + 1 - begin);
          const T* keys = &of.k_NGCP(page, h / group, 0, 0);
          const T* values = &of.v_NGPC(page, h / group, 0, 0);
          team.team_barrier();
          row_store(team, visible, weight, [&](int p) {
            return exponential(chain(head_size, q, 1, keys + p, kKvPage) * of.scale - of.lse_TH(t, h));
          });
          team.team_barrier();
          row_store(team, visible, dscore, [&](int p) {
            return weight[p] * (chain(head_size, dout, 1, values + p * head_size, 1) - of.delta_TH(t, h));
          });
          team.team_barrier();
          row_store(team, head_size, dq, [=](int c) {
            float sum = dq[c];
            for (int p = 0; p < visible; ++p) sum = fused_multiply_add(dscore[p], float(keys[c * kKvPage + p]), sum);
            return sum;
          });
        }
        team.team_barrier();
        row_store(team, head_size, row(of.dq_TN, t) + h * head_size, [=](int c) { return of.scale * dq[c]; });
      });
}

}  // namespace

template <class T>
void attention_backward_portable(const ExecSpace& exec, const AttentionBackward<T>& arguments) {
  add_keys_and_values(exec, arguments);
  add_queries(exec, arguments);
}

template void attention_backward_portable<float>(const ExecSpace&, const AttentionBackward<float>&);
template void attention_backward_portable<Bf16>(const ExecSpace&, const AttentionBackward<Bf16>&);

}  // namespace m2
