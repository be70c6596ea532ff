// SPDX-License-Identifier: Apache-2.0
#include "kernels/moe/router.hpp"

#include "kernels/common/math.hpp"
#include "kernels/common/operation_cost.hpp"
#include "kernels/common/philox.hpp"
#include "kernels/common/rows.hpp"

namespace m2 {
namespace {

using Scratch = Kokkos::View<float*, ExecSpace::scratch_memory_space, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;

constexpr float kSumGuard = 1e-20f;  // NeMo's: no 0 / 0 where every chosen score underflows
constexpr float kTaken = -Kokkos::Experimental::infinity_v<float>;
constexpr float kLowest = -Kokkos::Experimental::finite_max_v<float>;

KOKKOS_INLINE_FUNCTION float rounded(bool to_bf16, float value) { return to_bf16 ? float(Bf16(value)) : value; }

// Fills score_E from the logits of one token.
KOKKOS_INLINE_FUNCTION void score_row(const RowMember& team, const float* logits, int num_experts,
                                      const RouterOptions& options, float* score_E) {
  const bool round = options.round_to_bf16;
  if (options.score_func == ScoringFunc::sigmoid) {
    row_store(team, num_experts, score_E, [=](int e) { return rounded(round, sigmoid(rounded(round, logits[e]))); });
    return;
  }
  const float largest = row_largest(team, num_experts, [=](int e) { return rounded(round, logits[e]); }).value;
  const auto exponent = [=](int e) { return exponential(rounded(round, logits[e]) - largest); };
  const float total = row_sum(team, num_experts, exponent);
  row_store(team, num_experts, score_E, [=](int e) { return rounded(round, exponent(e) / total); });
}

// Writes the indices of the K largest of choice_E in descending order, and overwrites those with kTaken. NaN and
// -infinity must have been replaced by kLowest, so that each round finds an expert that is not taken.
KOKKOS_INLINE_FUNCTION void take_largest(const RowMember& team, int num_experts, int top_k, float* choice_E,
                                         int* expert_K) {
  for (int k = 0; k < top_k; ++k) {
    team.team_barrier();
    const int expert = row_largest(team, num_experts, [=](int e) { return choice_E[e]; }).index;
    team.team_barrier();
    Kokkos::single(Kokkos::PerTeam(team), [&]() {
      expert_K[k] = expert;
      choice_E[expert] = kTaken;
    });
  }
  team.team_barrier();
}

KOKKOS_INLINE_FUNCTION void weigh(const RouterOptions& options, const float* score_E, const int* expert_K, int top_k,
                                  float* weight_K) {
  const bool round = options.round_to_bf16;
  float total = 0.0f;
  for (int k = 0; k < top_k; ++k) total += score_E[expert_K[k]];
  total = rounded(round, total + kSumGuard);
  for (int k = 0; k < top_k; ++k) {
    const float score = score_E[expert_K[k]];
    const float share = options.normalize ? rounded(round, score / total) : score;
    weight_K[k] = rounded(round, share * options.route_scale);
  }
}

// The gradient of one token's scores with respect to its logits. Experts of expert_K are distinct.
KOKKOS_INLINE_FUNCTION void weigh_backward(const RowMember& team, const RouterOptions& options, const float* score_E,
                                           const int* expert_K, const float* dweight_K, int num_experts, int top_k,
                                           float* dlogit_E) {
  const bool is_softmax = options.score_func == ScoringFunc::softmax;
  float total = 0.0f, product = 0.0f;
  for (int k = 0; k < top_k; ++k) total += score_E[expert_K[k]];
  total = rounded(options.round_to_bf16, total + kSumGuard);
  for (int k = 0; k < top_k; ++k) product += dweight_K[k] * (score_E[expert_K[k]] / total);
  const auto dscore = [=](int k) {
    return options.route_scale * (options.normalize ? (dweight_K[k] - product) / total : dweight_K[k]);
  };
  float mean = 0.0f;  // of dscore, weighted by the scores
  if (is_softmax) {
    for (int k = 0; k < top_k; ++k) mean += dscore(k) * score_E[expert_K[k]];
  }
  row_store(team, num_experts, dlogit_E, [=](int e) { return is_softmax ? -score_E[e] * mean : 0.0f; });
  team.team_barrier();
  Kokkos::single(Kokkos::PerTeam(team), [&]() {
    for (int k = 0; k < top_k; ++k) {
      const float score = score_E[expert_K[k]];
      dlogit_E[expert_K[k]] = is_softmax ? score * (dscore(k) - mean) : dscore(k) * score * (1.0f - score);
    }
  });
}

RowPolicy router_policy(const ExecSpace& exec, int num_tokens, int num_experts) {
  const std::size_t scratch_bytes = 2 * Scratch::shmem_size(num_experts);
  const std::size_t available_bytes = RowPolicy::scratch_size_max(0);
  M2_REQUIRE(scratch_bytes <= available_bytes, "route: {} experts need {} bytes of team scratch, this device has {}",
             num_experts, scratch_bytes, available_bytes);
  return row_policy(exec, num_tokens).set_scratch_size(0, Kokkos::PerTeam(scratch_bytes));
}

void require_limits(std::string_view operation, int num_experts, View2D<const int> expert_TK,
                    View2D<const float> weight_TK) {
  const int top_k = expert_TK.extent_int(1);
  require_same_shape(operation, "expert_TK", expert_TK, "weight_TK", weight_TK);
  M2_REQUIRE(top_k >= 1 && top_k <= kMaxTopK, "{}: {} experts per token, expected 1 to {}", operation, top_k, kMaxTopK);
  M2_REQUIRE(num_experts <= kMaxExperts, "{}: {} experts, at most {} are supported", operation, num_experts,
             kMaxExperts);
  M2_REQUIRE(top_k <= num_experts, "{}: {} experts per token, but there are {} experts", operation, top_k, num_experts);
}

void route_evenly(const ExecSpace& exec, std::int64_t first_slot, int num_experts, View2D<int> expert_TK,
                  View2D<float> weight_TK) {
  const int top_k = expert_TK.extent_int(1);
  const std::int64_t num_slots = std::int64_t(expert_TK.extent_int(0)) * top_k;
  Kokkos::parallel_for(
      "m2::route_balanced", Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(exec, 0, num_slots),
      KOKKOS_LAMBDA(std::int64_t slot) {
        expert_TK(slot / top_k, slot % top_k) = int((first_slot + slot) % num_experts);
        weight_TK(slot / top_k, slot % top_k) = 1.0f / float(top_k);
      });
}

// Four numbers in [0, 1) that depend on the arguments only.
struct Uniform4 {
  float value[4];
};
KOKKOS_INLINE_FUNCTION Uniform4 uniform(std::uint64_t seed, std::uint64_t token, std::uint32_t index,
                                        std::uint32_t purpose) {
  const PhiloxBlock random = philox({{std::uint32_t(token), std::uint32_t(token >> 32), index, purpose}},
                                    std::uint32_t(seed), std::uint32_t(seed >> 32));
  Uniform4 out;
  for (int i = 0; i < 4; ++i) out.value[i] = float(random.word[i] >> 8) * 0x1p-24f;
  return out;
}

enum Purpose : std::uint32_t { kPopularity, kChoice, kWeight };

// An expert's lasting advantage: mean 0, deviation 1 (the sum of four uniform numbers has variance 4 / 12).
KOKKOS_INLINE_FUNCTION float popularity(std::uint64_t seed, int expert) {
  const Uniform4 u = uniform(seed, 0, std::uint32_t(expert), kPopularity);
  return (u.value[0] + u.value[1] + u.value[2] + u.value[3] - 2.0f) * 1.7320508f;
}

void route_noisily(const ExecSpace& exec, std::int64_t first_token, int num_experts, float noise, std::uint64_t seed,
                   View2D<int> expert_TK, View2D<float> weight_TK) {
  const int top_k = expert_TK.extent_int(1);
  Kokkos::parallel_for(
      "m2::route_balanced", router_policy(exec, expert_TK.extent_int(0), num_experts),
      KOKKOS_LAMBDA(const RowMember& team) {
        const int t = team.league_rank();
        const std::uint64_t token = std::uint64_t(first_token + t);
        const Scratch choice_E(team.team_scratch(0), num_experts);
        float* choice = choice_E.data();
        row_store(team, num_experts, choice, [=](int e) {
          return uniform(seed, token, std::uint32_t(e), kChoice).value[0] + 0.1f * noise * popularity(seed, e);
        });
        take_largest(team, num_experts, top_k, choice, row(expert_TK, t));
        const auto raw = [=](int k) { return uniform(seed, token, std::uint32_t(k), kWeight).value[0]; };
        const float total = row_sum(team, top_k, raw) + 1e-20f;
        row_store(team, top_k, row(weight_TK, t),
                  [=](int k) { return (1.0f - noise) / float(top_k) + noise * (raw(k) / total); });
      });
}

}  // namespace

void route(const ExecSpace& exec, View2D<const float> logits_TE, View1D<const float> selection_bias_E,
           const RouterOptions& options, View2D<int> expert_TK, View2D<float> weight_TK) {
  const int num_experts = logits_TE.extent_int(1), top_k = expert_TK.extent_int(1);
  require_limits("route", num_experts, expert_TK, weight_TK);
  require_same("route", "rows of logits_TE", logits_TE.extent(0), "rows of expert_TK", expert_TK.extent(0));
  const bool biased = selection_bias_E.extent(0) > 0;
  if (biased) {
    require_same("route", "elements of selection_bias_E", selection_bias_E.extent(0), "columns of logits_TE",
                 logits_TE.extent(1));
  }
  const LoggedOperation logged(exec, "route", [&] { return array_cost(logits_TE); });
  const RouterOptions settings = options;
  Kokkos::parallel_for(
      "m2::route", router_policy(exec, logits_TE.extent_int(0), num_experts), KOKKOS_LAMBDA(const RowMember& team) {
        const int t = team.league_rank();
        const Scratch score_E(team.team_scratch(0), num_experts), choice_E(team.team_scratch(0), num_experts);
        float* score = score_E.data();
        float* choice = choice_E.data();
        const float* bias = selection_bias_E.data();
        score_row(team, row(logits_TE, t), num_experts, settings, score);
        team.team_barrier();
        row_store(team, num_experts, choice, [=](int e) {
          const float sum = biased ? score[e] + bias[e] : score[e];
          return sum >= kLowest ? sum : kLowest;
        });
        take_largest(team, num_experts, top_k, choice, row(expert_TK, t));
        Kokkos::single(Kokkos::PerTeam(team),
                       [&]() { weigh(settings, score, row(expert_TK, t), top_k, row(weight_TK, t)); });
      });
}

void route_backward(const ExecSpace& exec, View2D<const float> logits_TE, const RouterOptions& options,
                    View1D<const std::uint8_t> skip_T, View2D<const int> expert_TK, View2D<const float> dweight_TK,
                    View2D<float> dlogits_TE) {
  const int num_experts = logits_TE.extent_int(1), top_k = expert_TK.extent_int(1);
  require_limits("route_backward", num_experts, expert_TK, dweight_TK);
  require_same("route_backward", "rows of logits_TE", logits_TE.extent(0), "rows of expert_TK", expert_TK.extent(0));
  require_same_shape("route_backward", "logits_TE", logits_TE, "dlogits_TE", dlogits_TE);
  const bool skips = skip_T.extent(0) > 0;
  if (skips) {
    require_same("route_backward", "elements of skip_T", skip_T.extent(0), "rows of logits_TE", logits_TE.extent(0));
  }
  const LoggedOperation logged(exec, "route_backward", [&] { return array_cost(logits_TE, dlogits_TE); });
  const RouterOptions settings = options;
  Kokkos::parallel_for(
      "m2::route_backward", router_policy(exec, logits_TE.extent_int(0), num_experts),
      KOKKOS_LAMBDA(const RowMember& team) {
        const int t = team.league_rank();
        float* dlogits = row(dlogits_TE, t);
        if (skips && skip_T(t) != 0) {
          row_store(team, num_experts, dlogits, [](int) { return 0.0f; });
          return;
        }
        const Scratch score_E(team.team_scratch(0), num_experts);
        float* score = score_E.data();
        score_row(team, row(logits_TE, t), num_experts, settings, score);
        team.team_barrier();
        weigh_backward(team, settings, score, row(expert_TK, t), row(dweight_TK, t), num_experts, top_k, dlogits);
      });
}

void route_balanced(const ExecSpace& exec, std::int64_t first_slot, int num_experts, float noise, std::uint64_t seed,
                    View2D<int> expert_TK, View2D<float> weight_TK) {
  require_limits("route_balanced", num_experts, expert_TK, weight_TK);
  M2_REQUIRE(noise >= 0.0f && noise <= 1.0f, "route_balanced: noise is {}, expected 0 to 1", noise);
  const LoggedOperation logged(exec, "route_balanced", [&] { return array_cost(expert_TK, weight_TK); });
  if (noise == 0.0f) {
    route_evenly(exec, first_slot, num_experts, expert_TK, weight_TK);
  } else {
    route_noisily(exec, first_slot / expert_TK.extent_int(1), num_experts, noise, seed, expert_TK, weight_TK);
  }
}

}  // namespace m2
