// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "kernels/central_difference.hpp"
#include "kernels/moe/router.hpp"
#include "kernels/operation.hpp"
#include "support/exec.hpp"

namespace m2::test {

/// Width: experts. Each fifth token is skipped.
template <ScoringFunc kScore, bool kNormalize = true>
struct RouteBackwardOp {
  static constexpr const char* kName = "route_backward";
  static constexpr std::array kWidths{1, 17, 64, 257};
  static constexpr Size kRealSize{512, 256};
  static constexpr RouterOptions kOptions{
      .score_func = kScore, .normalize = kNormalize, .route_scale = 2.5f, .round_to_bf16 = false};

  explicit RouteBackwardOp(Size wanted, int most_experts = 8)
      : size(wanted),
        top_k(std::min(most_experts, size.width)),
        logits(random_rows<float>(0, size.num_tokens, size.width, 1, 2.0f)),
        dweight(random_rows<float>(0, size.num_tokens, top_k, 3)),
        logits_TE(to_device<float>(logits, size.num_tokens, size.width)),
        dweight_TK(to_device<float>(dweight, size.num_tokens, top_k)),
        dlogits_TE(filled<float>(size.num_tokens, size.width, NAN)),
        expert_TK("test::expert", size.num_tokens, top_k) {
    for (int t = 0; t < size.num_tokens; ++t) skip.push_back(t % 5 == 2 ? 1 : 0);
    skip_T = integers_to_device<std::uint8_t>(skip);
    const auto bias_E = to_device<float>(normal(size.width, 2, 0.1f));
    route(exec(), logits_TE, bias_E, kOptions, expert_TK, View2D<float>("test::weight", size.num_tokens, top_k));
    expert = to_host_as_is(expert_TK);
  }
  void run(const ExecSpace& on) const {
    route_backward(on, logits_TE, kOptions, skip_T, expert_TK, dweight_TK, dlogits_TE);
  }
  std::vector<float> actual() const { return to_host(dlogits_TE); }
  std::vector<float> expected() const {
    std::vector<float> out;
    for (int t = 0; t < size.num_tokens; ++t) {
      for (int e = 0; e < size.width; ++e) {
        const double logit = logits[std::size_t(t) * size.width + e];
        const auto loss = [&](double value) { return weighted_sum(t, e, value); };
        out.push_back(skip[t] != 0 ? 0.0f : float(central_difference(loss, logit)));
      }
    }
    return out;
  }
  // The sum of dweight times route's weights for token t, with `value` instead of the logit of expert `at`.
  double weighted_sum(int t, int at, double value) const {
    const auto exponent = [&](int e) { return std::exp(e == at ? value : logits[std::size_t(t) * size.width + e]); };
    double all = 0;
    for (int e = 0; e < size.width && kScore == ScoringFunc::softmax; ++e) all += exponent(e);
    double total = 0, sum = 0;
    for (int k = 0; k < top_k; ++k) {
      const double power = exponent(expert[std::size_t(t) * top_k + k]);
      const double score = power / (kScore == ScoringFunc::softmax ? all : 1 + power);
      total += score;
      sum += dweight[std::size_t(t) * top_k + k] * score;
    }
    return kOptions.route_scale * (kNormalize ? sum / total : sum);
  }
  // Scores are off by exp's two units, the sum of the softmax (width / 64 + 6) and four more, and enter three times;
  // two sums over at most eight experts and eight more operations follow. The terms of a gradient are at most
  // 4 route_scale max |dweight|: dweight, its mean, and both again in the mean over the softmax.
  double tolerance() const {
    const double roundings = 3 * (size.width / 64 + 12) + 2 * 8 + 8;
    return 4 * kOptions.route_scale * max_abs(dweight) * roundings * kUnit<float>;
  }
  std::vector<float> alone(int t) const {
    const View2D<float> dlogits = filled<float>(1, size.width, NAN);
    const View2D<int> one_expert = Kokkos::subview(expert_TK, std::pair(t, t + 1), Kokkos::ALL);
    const auto one_skip = integers_to_device<std::uint8_t>(std::span(skip).subspan(t, 1));
    route_backward(exec(), one_row<float>(logits, t, size.width), kOptions, one_skip, one_expert,
                   one_row<float>(dweight, t, top_k), dlogits);
    return to_host(dlogits);
  }
  double bytes() const { return double(size.num_tokens) * size.width * 2 * sizeof(float); }

  Size size;
  int top_k;
  std::vector<float> logits, dweight;
  std::vector<std::uint8_t> skip;
  std::vector<int> expert;
  View2D<float> logits_TE, dweight_TK, dlogits_TE;
  View2D<int> expert_TK;
  View1D<std::uint8_t> skip_T;
};

}  // namespace m2::test
