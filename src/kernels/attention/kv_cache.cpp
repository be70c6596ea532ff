// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/kv_cache.hpp"

#include "kernels/common/operation_cost.hpp"
#include "kernels/common/rows.hpp"

namespace m2 {

void require_layout(std::string_view operation, const BatchLayout& layout, std::size_t num_tokens) {
  require_same(operation, "elements of sequence_T", layout.sequence_T.extent(0), "tokens", num_tokens);
  require_same(operation, "elements of cache_position_T", layout.cache_position_T.extent(0), "tokens", num_tokens);
}

template <class T>
void require_cache(std::string_view operation, const KvPages<T>& cache) {
  const auto &k = cache.k_NGCP, &v = cache.v_NGPC;
  require_same(operation, "positions of a page of k_NGCP", k.extent(3), "kKvPage", kKvPage);
  require_same(operation, "positions of a page of v_NGPC", v.extent(2), "kKvPage", kKvPage);
  require_same(operation, "pages of k_NGCP", k.extent(0), "pages of v_NGPC", v.extent(0));
  require_same(operation, "heads of k_NGCP", k.extent(1), "heads of v_NGPC", v.extent(1));
  require_same(operation, "head size of k_NGCP", k.extent(2), "head size of v_NGPC", v.extent(3));
}

template <class T>
void kv_write(const ExecSpace& exec, View2D<const T> k_TN, View2D<const T> v_TN, const BatchLayout& layout,
              const KvPages<T>& cache) {
  require_cache("kv_write", cache);
  require_layout("kv_write", layout, k_TN.extent(0));
  require_same_shape("kv_write", "k_TN", k_TN, "v_TN", v_TN);
  require_same("kv_write", "columns of k_TN", k_TN.extent(1), "heads x head size of the cache",
               cache.k_NGCP.extent(1) * cache.k_NGCP.extent(2));
  const LoggedOperation logged(exec, "kv_write", [&] { return array_cost(k_TN, v_TN, k_TN, v_TN); });
  const View4D<T> k_NGCP = cache.k_NGCP, v_NGPC = cache.v_NGPC;
  const View1D<const int> sequence_T = layout.sequence_T, cache_position_T = layout.cache_position_T;
  const View2D<const int> page_table_BN = layout.page_table_BN;
  const int num_heads = k_NGCP.extent_int(1), head_size = k_NGCP.extent_int(2);
  Kokkos::parallel_for(
      "m2::kv_write", row_policy(exec, k_TN.extent_int(0)), KOKKOS_LAMBDA(const RowMember& team) {
        const int t = team.league_rank();
        const int page = page_table_BN(sequence_T(t), cache_position_T(t) / kKvPage);
        const int offset = cache_position_T(t) % kKvPage;
        Kokkos::parallel_for(Kokkos::TeamThreadRange(team, num_heads), [&](int g) {
          Kokkos::parallel_for(Kokkos::ThreadVectorRange(team, head_size), [&](int c) {
            k_NGCP(page, g, c, offset) = k_TN(t, g * head_size + c);
            v_NGPC(page, g, offset, c) = v_TN(t, g * head_size + c);
          });
        });
      });
}

template void require_cache<float>(std::string_view, const KvPages<float>&);
template void require_cache<Bf16>(std::string_view, const KvPages<Bf16>&);
template void kv_write<float>(const ExecSpace&, View2D<const float>, View2D<const float>, const BatchLayout&,
                              const KvPages<float>&);
template void kv_write<Bf16>(const ExecSpace&, View2D<const Bf16>, View2D<const Bf16>, const BatchLayout&,
                             const KvPages<Bf16>&);

}  // namespace m2
