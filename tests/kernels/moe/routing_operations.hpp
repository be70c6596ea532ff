// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <numeric>

#include "kernels/moe/permute.hpp"
#include "kernels/moe/router.hpp"
#include "kernels/operation.hpp"
#include "support/exec.hpp"

namespace m2::test {

/// Width: experts.
template <ScoringFunc kScore>
struct RouteOp {
  static constexpr const char* kName = kScore == ScoringFunc::sigmoid ? "route" : "route/softmax";
  static constexpr std::array kWidths{1, 17, 64, 257};
  static constexpr Size kRealSize{512, 256};
  static constexpr RouterOptions kOptions{
      .score_func = kScore, .normalize = true, .route_scale = 2.5f, .round_to_bf16 = false};

  explicit RouteOp(Size wanted)
      : size(wanted),
        top_k(std::min(8, size.width)),
        logits(random_rows<float>(0, size.num_tokens, size.width, 1, 2.0f)),
        bias(normal(size.width, 2, 0.1f)),
        logits_TE(to_device<float>(logits, size.num_tokens, size.width)),
        bias_E(to_device<float>(bias)),
        expert_TK("test::expert", size.num_tokens, top_k),
        weight_TK("test::weight", size.num_tokens, top_k) {}
  void run(const ExecSpace& on) const { route(on, logits_TE, bias_E, kOptions, expert_TK, weight_TK); }
  std::vector<float> actual() const { return choice_then_weights(expert_TK, weight_TK); }
  std::vector<float> expected() const {
    std::vector<float> experts, weights;
    for (int t = 0; t < size.num_tokens; ++t) {
      const std::vector<double> score = scores(t);
      std::vector<int> order(size.width);
      std::iota(order.begin(), order.end(), 0);
      std::ranges::stable_sort(order, [&](int a, int b) { return score[a] + bias[a] > score[b] + bias[b]; });
      double total = 0;
      for (int k = 0; k < top_k; ++k) total += score[order[k]];
      for (int k = 0; k < top_k; ++k) {
        experts.push_back(float(order[k]));
        weights.push_back(float(score[order[k]] / total * kOptions.route_scale));
      }
    }
    experts.insert(experts.end(), weights.begin(), weights.end());
    return experts;
  }
  // Up to eight additions and width / 64 + 6 of the softmax, exp with 2 units, and six more operations. Weights are at
  // most route_scale; a wrong expert is off by at least 1.
  double tolerance() const { return kOptions.route_scale * (size.width / 64 + 22) * kUnit<float>; }
  std::vector<float> alone(int t) const {
    const View2D<int> expert("test::expert", 1, top_k);
    const View2D<float> weight("test::weight", 1, top_k);
    route(exec(), one_row<float>(logits, t, size.width), bias_E, kOptions, expert, weight);
    return choice_then_weights(expert, weight);
  }
  double bytes() const { return double(size.num_tokens) * size.width * sizeof(float); }

  std::vector<double> scores(int t) const {
    std::vector<double> out;
    const float* row = &logits[std::size_t(t) * size.width];
    for (int e = 0; e < size.width; ++e) out.push_back(std::exp(double(row[e])));
    const double total = std::accumulate(out.begin(), out.end(), 0.0);
    for (double& value : out) value /= kScore == ScoringFunc::sigmoid ? 1 + value : total;
    return out;
  }
  static std::vector<float> choice_then_weights(const View2D<int>& expert, const View2D<float>& weight) {
    std::vector<float> out = to_host(expert);
    const std::vector<float> weights = to_host(weight);
    out.insert(out.end(), weights.begin(), weights.end());
    return out;
  }

  Size size;
  int top_k;
  std::vector<float> logits, bias;
  View2D<float> logits_TE;
  View1D<float> bias_E;
  View2D<int> expert_TK;
  View2D<float> weight_TK;
};

/// Width: hidden size. Three rows for each token, in the order of a random permutation.
template <class T>
struct CombineOp {
  static constexpr const char* kName = "combine";
  static constexpr std::array kWidths{1, 17, 64, 257};
  static constexpr Size kRealSize{512, 3072};
  static constexpr int kTopK = 3;

  explicit CombineOp(Size wanted)
      : size(wanted),
        y(random_rows<T>(0, kTopK * size.num_tokens, size.width, 1)),
        weight(random_rows<float>(0, size.num_tokens, kTopK, 2)),
        row(kTopK * size.num_tokens),
        y_RD(to_device<T>(y, kTopK * size.num_tokens, size.width)),
        weight_TK(to_device<float>(weight, size.num_tokens, kTopK)),
        row_TK("test::row", size.num_tokens, kTopK),
        out_TD(filled<T>(size.num_tokens, size.width, NAN)) {
    std::iota(row.begin(), row.end(), 0);
    std::ranges::shuffle(row, std::mt19937_64(3));
    const auto host = Kokkos::create_mirror_view(row_TK);
    std::ranges::copy(row, host.data());
    Kokkos::deep_copy(row_TK, host);
  }
  void run(const ExecSpace& on) const { combine<T>(on, y_RD, row_TK, weight_TK, out_TD); }
  std::vector<float> actual() const { return to_host(out_TD); }
  std::vector<float> expected() const {
    std::vector<float> out;
    for (int t = 0; t < size.num_tokens; ++t) {
      for (int d = 0; d < size.width; ++d) {
        double sum = 0;
        for (int k = 0; k < kTopK; ++k) {
          sum += double(weight[t * kTopK + k]) * y[std::size_t(row[t * kTopK + k]) * size.width + d];
        }
        out.push_back(float(sum));
      }
    }
    return out;
  }
  // kTopK products and sums, each at most kTopK times the largest product.
  double tolerance() const { return kTopK * max_abs(weight) * max_abs(y) * (2 * kTopK * kUnit<float> + kUnit<T>); }
  std::vector<float> alone(int t) const {  // its rows in another place: 0, 1, 2
    const auto y_alone = filled<T>(kTopK, size.width, NAN);
    const View2D<int> row_alone("test::row", 1, kTopK);
    const auto host = Kokkos::create_mirror_view(row_alone);
    for (int k = 0; k < kTopK; ++k) {
      host(0, k) = k;
      Kokkos::deep_copy(Kokkos::subview(y_alone, k, Kokkos::ALL),
                        Kokkos::subview(y_RD, row[t * kTopK + k], Kokkos::ALL));
    }
    Kokkos::deep_copy(row_alone, host);
    const auto out = filled<T>(1, size.width, NAN);
    combine<T>(exec(), y_alone, row_alone, one_row<float>(weight, t, kTopK), out);
    return to_host(out);
  }
  double bytes() const { return double(size.num_tokens) * size.width * (kTopK + 1) * sizeof(T); }

  Size size;
  std::vector<float> y, weight;
  std::vector<int> row;
  View2D<T> y_RD;
  View2D<float> weight_TK;
  View2D<int> row_TK;
  View2D<T> out_TD;
};

/// Width: hidden size.
template <class T>
struct GatherRowsOp {
  static constexpr const char* kName = "gather_rows";
  static constexpr std::array kWidths{1, 17, 64, 257};
  static constexpr Size kRealSize{4096, 3072};
  static constexpr int kSourceRows = 40;

  explicit GatherRowsOp(Size wanted)
      : size(wanted),
        x(random_rows<T>(0, kSourceRows, size.width, 1)),
        token(random_integers(0, size.num_tokens, kSourceRows, 2)),
        x_TD(to_device<T>(x, kSourceRows, size.width)),
        token_R(integers_to_device<int>(token)),
        out_RD(filled<T>(size.num_tokens, size.width, NAN)) {}
  void run(const ExecSpace& on) const { gather_rows<T>(on, x_TD, token_R, out_RD); }
  std::vector<float> actual() const { return to_host(out_RD); }
  std::vector<float> expected() const {
    std::vector<float> out;
    for (const int t : token) out.insert(out.end(), &x[t * size.width], &x[t * size.width] + size.width);
    return out;
  }
  double tolerance() const { return 0; }
  std::vector<float> alone(int r) const {
    const auto out = filled<T>(1, size.width, NAN);
    gather_rows<T>(exec(), x_TD, integers_to_device<int>(std::span(token).subspan(r, 1)), out);
    return to_host(out);
  }
  double bytes() const { return double(size.num_tokens) * size.width * 2 * sizeof(T); }

  Size size;
  std::vector<float> x;
  std::vector<int> token;
  View2D<T> x_TD;
  View1D<int> token_R;
  View2D<T> out_RD;
};

}  // namespace m2::test
