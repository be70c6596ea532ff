// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/attention.hpp"

#include "kernels/attention/attention_cost.hpp"
#include "kernels/attention/attention_variants.hpp"
#include "kernels/common/operation_cost.hpp"
#include "kernels/common/rows.hpp"

namespace m2 {

template <class T>
void attention(const ExecSpace& exec, View2D<const T> q_TN, const KvPages<T>& cache, const BatchLayout& layout,
               float scale, View2D<T> out_TN, View2D<float> lse_TH) {
  require_cache("attention", cache);
  require_layout("attention", layout, q_TN.extent(0));
  require_same_shape("attention", "q_TN", q_TN, "out_TN", out_TN);
  const std::size_t num_kv_heads = cache.k_NGCP.extent(1), head_size = cache.k_NGCP.extent(2);
  M2_REQUIRE(head_size >= 1 && head_size <= std::size_t(kMaxHeadSize),
             "attention: the head size is {}, expected 1 to {}", head_size, kMaxHeadSize);
  M2_REQUIRE(num_kv_heads >= 1 && q_TN.extent(1) % (num_kv_heads * head_size) == 0,
             "attention: q_TN has {} columns, not a multiple of {} key/value heads x head size {}", q_TN.extent(1),
             num_kv_heads, head_size);
  if (lse_TH.size() > 0) {
    require_same("attention", "rows of lse_TH", lse_TH.extent(0), "tokens", q_TN.extent(0));
    require_same("attention", "columns of lse_TH", lse_TH.extent(1), "query heads", q_TN.extent(1) / head_size);
  }
  const LoggedOperation logged(exec, "attention", [&] {
    const SeenPositions seen = count_positions(exec, layout);
    const std::int64_t cache_bytes = 2 * seen.by_sequences * std::int64_t(num_kv_heads * head_size * sizeof(T));
    return OperationCost{.bytes = bytes_of(q_TN, out_TN, lse_TH) + cache_bytes,
                         .flop = 4 * seen.by_tokens * std::int64_t(q_TN.extent(1))};
  });
  if constexpr (kRunsOnHost) {
    attention_host<T>(exec, q_TN, cache, layout, scale, out_TN, lse_TH);
  } else {
    attention_portable<T>(exec, q_TN, cache, layout, scale, out_TN, lse_TH);
  }
}

template void attention<float>(const ExecSpace&, View2D<const float>, const KvPages<float>&, const BatchLayout&, float,
                               View2D<float>, View2D<float>);
template void attention<Bf16>(const ExecSpace&, View2D<const Bf16>, const KvPages<Bf16>&, const BatchLayout&, float,
                              View2D<Bf16>, View2D<float>);

}  // namespace m2
