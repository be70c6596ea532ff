// SPDX-License-Identifier: Apache-2.0
#include "kernels/rowwise/token_logprob.hpp"

#include "kernels/common/math.hpp"
#include "kernels/common/operation_cost.hpp"
#include "kernels/common/rows.hpp"

namespace m2 {

void token_logprob(const ExecSpace& exec, View2D<const float> logits_TV, View1D<const int> target_T,
                   View1D<float> logprob_T) {
  require_same("token_logprob", "elements of target_T", target_T.extent(0), "rows of logits_TV", logits_TV.extent(0));
  require_same("token_logprob", "elements of logprob_T", logprob_T.extent(0), "rows of logits_TV", logits_TV.extent(0));
  const LoggedOperation logged(exec, "token_logprob", [&] { return array_cost(logits_TV); });
  const int vocabulary = logits_TV.extent_int(1);
  Kokkos::parallel_for(
      "m2::token_logprob", row_policy(exec, logits_TV.extent_int(0)), KOKKOS_LAMBDA(const RowMember& team) {
        const int t = team.league_rank();
        const float* logits = row(logits_TV, t);
        const float largest = row_largest(team, vocabulary, [=](int v) { return logits[v]; }).value;
        const float total = row_sum(team, vocabulary, [=](int v) { return exponential(logits[v] - largest); });
        Kokkos::single(Kokkos::PerTeam(team),
                       [&]() { logprob_T(t) = (logits_TV(t, target_T(t)) - largest) - Kokkos::log(total); });
      });
}

}  // namespace m2
