// SPDX-License-Identifier: Apache-2.0
#include "kernels/moe/auxiliary_loss.hpp"

#include "kernels/common/math.hpp"
#include "kernels/common/operation_cost.hpp"
#include "kernels/common/rows.hpp"

namespace m2 {
namespace {

constexpr float kTiny = 1e-20f;  // NeMo's guard: no 0 / 0 where every score underflows

void fill_shares(const ExecSpace& exec, View2D<const float> logits_TE, ScoringFunc score_func,
                 const AuxiliaryLossScratch& scratch) {
  const int num_experts = logits_TE.extent_int(1);
  const bool is_sigmoid = score_func == ScoringFunc::sigmoid;
  Kokkos::parallel_for(
      "m2::auxiliary_loss::shares", row_policy(exec, logits_TE.extent_int(0)), KOKKOS_LAMBDA(const RowMember& team) {
        const int t = team.league_rank();
        const float* logits = row(logits_TE, t);
        float* share = row(scratch.share_TE, t);
        const float largest =
            is_sigmoid ? 0.0f : row_largest(team, num_experts, [=](int e) { return logits[e]; }).value;
        row_store(team, num_experts, share,
                  [=](int e) { return is_sigmoid ? sigmoid(logits[e]) : exponential(logits[e] - largest); });
        team.team_barrier();
        const float total = row_sum(team, num_experts, [=](int e) { return share[e]; }) + kTiny;
        team.team_barrier();
        row_store(team, num_experts, share, [=](int e) { return share[e] / total; });
        Kokkos::single(Kokkos::PerTeam(team), [&]() { scratch.total_T(t) = total; });
      });
}

// One thread an expert: E is some hundred, and the sum over the tokens is in one order.
void fill_products(const ExecSpace& exec, View1D<const int> offset_E1, const AuxiliaryLossScratch& scratch) {
  const int num_tokens = scratch.share_TE.extent_int(0), num_experts = scratch.share_TE.extent_int(1);
  Kokkos::parallel_for(
      "m2::auxiliary_loss::products", Kokkos::RangePolicy<ExecSpace>(exec, 0, num_experts), KOKKOS_LAMBDA(int e) {
        double probability = 0.0;
        for (int t = 0; t < num_tokens; ++t) probability += double(scratch.share_TE(t, e));
        const double load = double(offset_E1(e + 1) - offset_E1(e)), num_slots = double(offset_E1(num_experts));
        scratch.fraction_E(e) = num_slots > 0.0 ? load * num_experts / num_slots : 0.0;
        scratch.product_E(e) = scratch.fraction_E(e) * (num_tokens > 0 ? probability / num_tokens : 0.0);
      });
}

}  // namespace

void auxiliary_loss_backward(const ExecSpace& exec, View2D<const float> logits_TE, ScoringFunc score_func,
                             View1D<const int> offset_E1, float scale, const AuxiliaryLossScratch& scratch,
                             View2D<float> dlogits_TE, View1D<double> loss_1) {
  require_same_shape("auxiliary_loss", "logits_TE", logits_TE, "dlogits_TE", dlogits_TE);
  require_same_shape("auxiliary_loss", "logits_TE", logits_TE, "share_TE", scratch.share_TE);
  require_same("auxiliary_loss", "elements of offset_E1", offset_E1.extent(0), "experts and one",
               logits_TE.extent(1) + 1);
  const LoggedOperation logged(exec, "auxiliary_loss",
                               [&] { return array_cost(logits_TE, scratch.share_TE, scratch.share_TE, dlogits_TE); });
  const int num_tokens = logits_TE.extent_int(0), num_experts = logits_TE.extent_int(1);
  const bool is_sigmoid = score_func == ScoringFunc::sigmoid;
  fill_shares(exec, logits_TE, score_func, scratch);
  fill_products(exec, offset_E1, scratch);
  const View1D<const double> fraction_E = scratch.fraction_E, product_E = scratch.product_E;
  Kokkos::parallel_for(
      "m2::auxiliary_loss::sum", Kokkos::RangePolicy<ExecSpace>(exec, 0, 1), KOKKOS_LAMBDA(int) {
        double sum = 0.0;
        for (int e = 0; e < num_experts; ++e) sum += product_E(e);
        loss_1(0) += sum;
      });
  // With S the sum of the scores s: d(sum f P) / d s_j = (f_j - sum_e f_e s_e / S) / (S T). For softmax the sum of that
  // times s_j is 0, which its Jacobian would subtract.
  Kokkos::parallel_for(
      "m2::auxiliary_loss::gradient", row_policy(exec, num_tokens), KOKKOS_LAMBDA(const RowMember& team) {
        const int t = team.league_rank();
        const float* share = row(scratch.share_TE, t);
        float* dlogits = row(dlogits_TE, t);
        const float total = scratch.total_T(t);
        const float mean = row_sum(team, num_experts, [=](int e) { return float(fraction_E(e)) * share[e]; });
        const float factor = scale / float(num_tokens);
        row_store(team, num_experts, dlogits, [=](int e) {
          const float by_score = factor * (float(fraction_E(e)) - mean) * share[e];  // times s_e / S
          return dlogits[e] + (is_sigmoid ? by_score * (1.0f - share[e] * total) : by_score);
        });
      });
}

}  // namespace m2
