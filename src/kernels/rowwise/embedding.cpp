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

// Each of these parts of the vocabulary is one task, which looks at every token.
constexpr int kVocabularyParts = 64;

// first[v] = lowest position of token v, -1 without any; next[t] = the following position of token_T(t), -1 at the
// last. The tokens are walked from the end, so that what was seen last is what comes next.
void link_positions(const ExecSpace& exec, View1D<const int> token_T, View1D<int> first_V, View1D<int> next_T) {
  const std::int64_t vocabulary = first_V.extent_int(0);
  const int num_tokens = token_T.extent_int(0);
  Kokkos::parallel_for(
      "m2::embedding_backward::link", Kokkos::RangePolicy<ExecSpace>(exec, 0, kVocabularyParts),
      KOKKOS_LAMBDA(int part) {
        const int begin = int(vocabulary * part / kVocabularyParts);
        const int end = int(vocabulary * (part + 1) / kVocabularyParts);
        for (int v = begin; v < end; ++v) first_V(v) = -1;
        for (int t = num_tokens - 1; t >= 0; --t) {
          const int v = token_T(t);
          if (v < begin || v >= end) continue;
          next_T(t) = first_V(v);
          first_V(v) = t;
        }
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

std::int64_t embedding_backward_scratch(std::int64_t num_tokens, std::int64_t vocabulary) {
  return vocabulary + num_tokens;
}

template <class T>
void embedding_backward(const ExecSpace& exec, View1D<const int> token_T, View2D<const T> dout_TD, View1D<int> scratch,
                        View2D<float> dtable_VD) {
  const std::int64_t num_tokens = token_T.extent_int(0), vocabulary = dtable_VD.extent_int(0);
  const std::int64_t scratch_size = embedding_backward_scratch(num_tokens, vocabulary);
  require_same("embedding_backward", "elements of token_T", token_T.extent(0), "rows of dout_TD", dout_TD.extent(0));
  require_same("embedding_backward", "columns of dtable_VD", dtable_VD.extent(1), "columns of dout_TD",
               dout_TD.extent(1));
  M2_REQUIRE(std::int64_t(scratch.extent(0)) >= scratch_size,
             "embedding_backward: scratch has {} elements, {} are needed", scratch.extent(0), scratch_size);
  const LoggedOperation logged(exec, "embedding_backward", [&] {
    // A row of the table is read and written for each token.
    return OperationCost{.bytes = bytes_of(dout_TD) + std::int64_t(2 * dout_TD.size() * sizeof(float))};
  });
  const View1D<int> first_V = slice(scratch, 0, vocabulary), next_T = slice(scratch, vocabulary, scratch_size);
  link_positions(exec, token_T, first_V, next_T);
  const int width = dout_TD.extent_int(1);
  Kokkos::parallel_for(
      "m2::embedding_backward", row_policy(exec, dout_TD.extent_int(0)), KOKKOS_LAMBDA(const RowMember& team) {
        const int first = team.league_rank();
        if (first_V(token_T(first)) != first) return;
        float* to = row(dtable_VD, token_T(first));
        for (int t = first; t >= 0; t = next_T(t)) {
          const T* from = row(dout_TD, t);
          row_store(team, width, to, [=](int d) { return to[d] + float(from[d]); });
        }
      });
}

template void embedding<float>(const ExecSpace&, View1D<const int>, const Weight&, View2D<float>);
template void embedding<Bf16>(const ExecSpace&, View1D<const int>, const Weight&, View2D<Bf16>);
template void embedding_backward<float>(const ExecSpace&, View1D<const int>, View2D<const float>, View1D<int>,
                                        View2D<float>);
template void embedding_backward<Bf16>(const ExecSpace&, View1D<const int>, View2D<const Bf16>, View1D<int>,
                                       View2D<float>);

}  // namespace m2
