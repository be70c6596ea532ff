// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/attention_backward.hpp"

#include "kernels/attention/attention.hpp"
#include "kernels/attention/attention_backward_variants.hpp"
#include "kernels/attention/attention_cost.hpp"
#include "kernels/common/operation_cost.hpp"
#include "kernels/common/rows.hpp"

namespace m2 {
namespace {

constexpr const char* kName = "attention_backward";

template <class T>
void require_shapes(View2D<const T> q_TN, const KvPages<T>& cache, const BatchLayout& layout,
                    View1D<const int> sequence_begin_B1, View2D<const T> out_TN, View2D<const T> dout_TN,
                    View2D<const float> lse_TH, View1D<float> scratch, View2D<T> dq_TN, View2D<T> dk_TM,
                    View2D<T> dv_TM) {
  require_cache(kName, cache);
  require_layout(kName, layout, q_TN.extent(0));
  require_same_shape(kName, "q_TN", q_TN, "out_TN", out_TN);
  require_same_shape(kName, "q_TN", q_TN, "dout_TN", dout_TN);
  require_same_shape(kName, "q_TN", q_TN, "dq_TN", dq_TN);
  require_same_shape(kName, "dk_TM", dk_TM, "dv_TM", dv_TM);
  const std::size_t num_kv_heads = cache.k_NGCP.extent(1), head_size = cache.k_NGCP.extent(2);
  M2_REQUIRE(head_size >= 1 && head_size <= std::size_t(kMaxHeadSize), "{}: the head size is {}, expected 1 to {}",
             kName, head_size, kMaxHeadSize);
  M2_REQUIRE(num_kv_heads >= 1 && q_TN.extent(1) % (num_kv_heads * head_size) == 0,
             "{}: q_TN has {} columns, not a multiple of {} key/value heads x head size {}", kName, q_TN.extent(1),
             num_kv_heads, head_size);
  require_same(kName, "rows of dk_TM", dk_TM.extent(0), "tokens", q_TN.extent(0));
  require_same(kName, "columns of dk_TM", dk_TM.extent(1), "heads x head size of the cache", num_kv_heads * head_size);
  require_same(kName, "rows of lse_TH", lse_TH.extent(0), "tokens", q_TN.extent(0));
  require_same(kName, "columns of lse_TH", lse_TH.extent(1), "query heads", q_TN.extent(1) / head_size);
  require_same(kName, "elements of scratch", scratch.extent(0), "attention_backward_scratch()", lse_TH.size());
  M2_REQUIRE(sequence_begin_B1.extent(0) >= (q_TN.extent(0) > 0 ? 2 : 1),
             "{}: sequence_begin_B1 has {} elements for {} tokens, expected one more than there are sequences", kName,
             sequence_begin_B1.extent(0), q_TN.extent(0));
}

}  // namespace

std::int64_t attention_backward_scratch(std::int64_t num_tokens, std::int64_t num_heads) {
  return num_tokens * num_heads;
}

template <class T>
void attention_delta(const ExecSpace& exec, View2D<const T> out_TN, View2D<const T> dout_TN, View2D<float> delta_TH) {
  const int num_heads = delta_TH.extent_int(1), head_size = out_TN.extent_int(1) / num_heads;
  Kokkos::parallel_for(
      "m2::attention_backward::delta", row_policy(exec, delta_TH.extent_int(0)), KOKKOS_LAMBDA(const RowMember& team) {
        const int t = team.league_rank();
        for (int h = 0; h < num_heads; ++h) {
          const T* out = row(out_TN, t) + h * head_size;
          const T* dout = row(dout_TN, t) + h * head_size;
          const float delta = row_sum(team, head_size, [=](int c) { return float(dout[c]) * float(out[c]); });
          Kokkos::single(Kokkos::PerTeam(team), [&] { delta_TH(t, h) = delta; });
        }
      });
}

template <class T>
void attention_backward(const ExecSpace& exec, View2D<const T> q_TN, const KvPages<T>& cache, const BatchLayout& layout,
                        View1D<const int> sequence_begin_B1, float scale, View2D<const T> out_TN,
                        View2D<const T> dout_TN, View2D<const float> lse_TH, View1D<float> scratch, View2D<T> dq_TN,
                        View2D<T> dk_TM, View2D<T> dv_TM) {
  require_shapes(q_TN, cache, layout, sequence_begin_B1, out_TN, dout_TN, lse_TH, scratch, dq_TN, dk_TM, dv_TM);
  const LoggedOperation logged(exec, kName, [&] {
    const SeenPositions seen = count_positions(exec, layout);
    const std::int64_t cache_bytes = 2 * seen.by_sequences * std::int64_t(dk_TM.extent(1) * sizeof(T));
    return OperationCost{.bytes = bytes_of(q_TN, out_TN, dout_TN, lse_TH, dq_TN, dk_TM, dv_TM) + cache_bytes,
                         .flop = 10 * seen.by_tokens * std::int64_t(q_TN.extent(1))};
  });
  const View2D<float> delta_TH(scratch.data(), lse_TH.extent(0), lse_TH.extent(1));
  attention_delta<T>(exec, out_TN, dout_TN, delta_TH);
  const AttentionBackward<T> arguments{q_TN,  cache.k_NGCP, cache.v_NGPC, layout,   sequence_begin_B1,
                                       scale, dout_TN,      lse_TH,       delta_TH, dq_TN,
                                       dk_TM, dv_TM};
  if constexpr (kRunsOnHost) {
    attention_backward_host<T>(exec, arguments);
  } else {
    attention_backward_portable<T>(exec, arguments);
  }
}

template void attention_delta<float>(const ExecSpace&, View2D<const float>, View2D<const float>, View2D<float>);
template void attention_delta<Bf16>(const ExecSpace&, View2D<const Bf16>, View2D<const Bf16>, View2D<float>);
template void attention_backward<float>(const ExecSpace&, View2D<const float>, const KvPages<float>&,
                                        const BatchLayout&, View1D<const int>, float, View2D<const float>,
                                        View2D<const float>, View2D<const float>, View1D<float>, View2D<float>,
                                        View2D<float>, View2D<float>);
template void attention_backward<Bf16>(const ExecSpace&, View2D<const Bf16>, const KvPages<Bf16>&, const BatchLayout&,
                                       View1D<const int>, float, View2D<const Bf16>, View2D<const Bf16>,
                                       View2D<const float>, View1D<float>, View2D<Bf16>, View2D<Bf16>, View2D<Bf16>);

}  // namespace m2
