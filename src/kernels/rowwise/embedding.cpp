// SPDX-License-Identifier: Apache-2.0
#include "kernels/rowwise/embedding.hpp"

#include "kernels/common/operation_cost.hpp"
#include "kernels/common/rows.hpp"

namespace m2 {
namespace {

template <class T, class W>
void embedding_from(const ExecSpace& exec, View1D<const int> token_T, View3D<const W> table_1VD, View2D<T> out_TD) {
  const int width = out_TD.extent_int(1);
  Kokkos::parallel_for(
      "m2::embedding", row_policy(exec, out_TD.extent_int(0)), KOKKOS_LAMBDA(const RowMember& team) {
        const int t = team.league_rank();
        const W* from = &table_1VD(0, token_T(t), 0);
        row_store(team, width, row(out_TD, t), [=](int d) { return float(from[d]); });
      });
}

}  // namespace

template <class T>
void embedding(const ExecSpace& exec, View1D<const int> token_T, const Weight& table_VD, View2D<T> out_TD) {
  require_same("embedding", "tables", table_VD.num_matrices(), "one", 1);
  require_same("embedding", "columns of table_VD", table_VD.num_columns(), "columns of out_TD", out_TD.extent(1));
  require_same("embedding", "elements of token_T", token_T.extent(0), "rows of out_TD", out_TD.extent(0));
  const LoggedOperation logged(exec, "embedding", [&] {
    const std::int64_t table_bytes = std::int64_t(out_TD.size() * size_bytes(table_VD.dtype()));
    return OperationCost{.bytes = bytes_of(out_TD) + table_bytes};
  });
  if (table_VD.dtype() == DType::float32) {
    embedding_from<T, float>(exec, token_T, table_VD.values<float>(), out_TD);
  } else {
    embedding_from<T, Bf16>(exec, token_T, table_VD.values<Bf16>(), out_TD);
  }
}

template void embedding<float>(const ExecSpace&, View1D<const int>, const Weight&, View2D<float>);
template void embedding<Bf16>(const ExecSpace&, View1D<const int>, const Weight&, View2D<Bf16>);

}  // namespace m2
