// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "kernels/operation.hpp"
#include "kernels/rowwise/embedding.hpp"
#include "kernels/rowwise/residual_add.hpp"
#include "kernels/rowwise/rms_norm.hpp"
#include "kernels/rowwise/swiglu.hpp"
#include "kernels/rowwise/token_logprob.hpp"
#include "kernels/rowwise/top_tokens.hpp"
#include "support/exec.hpp"

namespace m2::test {

/// Width: hidden size.
template <class T, class W>
struct EmbeddingOp {
  static constexpr const char* kName = "embedding";
  static constexpr std::array kWidths{1, 17, 64, 257};
  static constexpr Size kRealSize{512, 3072};
  static constexpr int kVocabulary = 50;

  explicit EmbeddingOp(Size wanted)
      : size(wanted),
        token(random_integers(0, size.num_tokens, kVocabulary, 1)),
        table(random_rows<W>(0, kVocabulary, size.width, 2)),
        token_T(integers_to_device<int>(token)),
        table_VD(Weight::allocate(exec(), kDTypeOf<W>, 1, kVocabulary, size.width, "test::table")),
        out_TD(filled<T>(size.num_tokens, size.width, NAN)) {
    const auto source = to_device<W>(table, kVocabulary, size.width);
    Kokkos::deep_copy(exec(), Kokkos::subview(table_VD.values<W>(), 0, Kokkos::ALL, Kokkos::ALL), source);
  }
  void run(const ExecSpace& on) const { embedding<T>(on, token_T, table_VD, out_TD); }
  std::vector<float> actual() const { return to_host(out_TD); }
  std::vector<float> expected() const {
    std::vector<float> out;
    for (const int v : token) out.insert(out.end(), &table[v * size.width], &table[v * size.width] + size.width);
    return rounded<T>(out);
  }
  double tolerance() const { return 0; }
  std::vector<float> alone(int t) const {
    const auto out = filled<T>(1, size.width, NAN);
    embedding<T>(exec(), integers_to_device<int>(std::span(token).subspan(t, 1)), table_VD, out);
    return to_host(out);
  }
  double bytes() const { return double(size.num_tokens) * size.width * (sizeof(T) + sizeof(W)); }

  Size size;
  std::vector<int> token;
  std::vector<float> table;
  View1D<int> token_T;
  Weight table_VD;
  View2D<T> out_TD;
};

/// Width: hidden size.
template <class T, RmsNormOrder kOrder>
struct RmsNormOp {
  static constexpr const char* kName = kOrder == RmsNormOrder::cast_last ? "rms_norm" : "rms_norm/cast_first";
  static constexpr std::array kWidths{1, 17, 64, 257};
  static constexpr Size kRealSize{512, 3072};
  static constexpr float kEps = 1e-6f;

  explicit RmsNormOp(Size wanted)
      : size(wanted),
        x(random_rows<T>(0, size.num_tokens, size.width, 1, 3.0f)),
        weight(normal(size.width, 2)),
        x_TD(to_device<T>(x, size.num_tokens, size.width)),
        out_TD(filled<T>(size.num_tokens, size.width, NAN)),
        weight_D(to_device<float>(weight)) {}
  void run(const ExecSpace& on) const { rms_norm<T>(on, x_TD, weight_D, kEps, kOrder, out_TD); }
  std::vector<float> actual() const { return to_host(out_TD); }
  std::vector<float> expected() const {
    std::vector<float> out(x.size());
    for (int t = 0; t < size.num_tokens; ++t) {
      const float* row = &x[std::size_t(t) * size.width];
      double sum = 0;
      for (int d = 0; d < size.width; ++d) sum += double(row[d]) * row[d];
      const double scale = 1 / std::sqrt(sum / size.width + double(kEps));
      for (int d = 0; d < size.width; ++d) out[std::size_t(t) * size.width + d] = float(row[d] * scale * weight[d]);
    }
    return out;
  }
  // width / 64 + 6 additions per lane and tree, halved by the root, and eight more operations in float; the storage
  // type rounds once or twice.
  double tolerance() const {
    const int storage_roundings = kOrder == RmsNormOrder::cast_first ? 2 : 1;
    return max_abs(expected()) * ((size.width / 64 + 14) * kUnit<float> + storage_roundings * 1.01 * kUnit<T>);
  }
  std::vector<float> alone(int t) const {
    const auto row = one_row<T>(x, t, size.width);
    rms_norm<T>(exec(), row, weight_D, kEps, kOrder, row);
    return to_host(row);
  }
  double bytes() const { return double(size.num_tokens) * size.width * 2 * sizeof(T); }

  Size size;
  std::vector<float> x, weight;
  View2D<T> x_TD, out_TD;
  View1D<float> weight_D;
};

/// Width: hidden size.
template <class T>
struct ResidualAddOp {
  static constexpr const char* kName = "residual_add";
  static constexpr std::array kWidths{1, 17, 64, 257};
  static constexpr Size kRealSize{512, 3072};

  explicit ResidualAddOp(Size wanted)
      : size(wanted),
        x(random_rows<T>(0, size.num_tokens, size.width, 1)),
        h(random_rows<T>(0, size.num_tokens, size.width, 2)),
        x_TD(to_device<T>(x, size.num_tokens, size.width)),
        h_TD(to_device<T>(h, size.num_tokens, size.width)) {}
  void run(const ExecSpace& on) const { residual_add<T>(on, x_TD, h_TD, h_TD); }
  std::vector<float> actual() const { return to_host(h_TD); }
  std::vector<float> expected() const {
    std::vector<float> out(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) out[i] = float(T(x[i] + h[i]));
    return out;
  }
  double tolerance() const { return 0; }
  std::vector<float> alone(int t) const {
    const auto row = one_row<T>(h, t, size.width);
    residual_add<T>(exec(), one_row<T>(x, t, size.width), row, row);
    return to_host(row);
  }
  double bytes() const { return double(size.num_tokens) * size.width * 3 * sizeof(T); }

  Size size;
  std::vector<float> x, h;
  View2D<T> x_TD, h_TD;
};

/// Width: columns of an expert's hidden layer. Rows carry a weight.
template <class T>
struct SwigluOp {
  static constexpr const char* kName = "swiglu";
  static constexpr std::array kWidths{1, 17, 64, 257};
  static constexpr Size kRealSize{4096, 1536};

  explicit SwigluOp(Size wanted)
      : size(wanted),
        gate_up(random_rows<T>(0, size.num_tokens, 2 * size.width, 1, 4.0f)),
        weight(random_rows<float>(0, size.num_tokens, 1, 2)),
        gate_up_R2F(to_device<T>(gate_up, size.num_tokens, 2 * size.width)),
        out_RF(filled<T>(size.num_tokens, size.width, NAN)),
        weight_R(to_device<float>(weight)) {}
  void run(const ExecSpace& on) const { swiglu<T>(on, gate_up_R2F, weight_R, out_RF); }
  std::vector<float> actual() const { return to_host(out_RF); }
  std::vector<float> expected() const {
    std::vector<float> out;
    for (int r = 0; r < size.num_tokens; ++r) {
      for (int f = 0; f < size.width; ++f) {
        const double gate = gate_up[std::size_t(r) * 2 * size.width + f],
                     up = gate_up[(std::size_t(r) * 2 + 1) * size.width + f];
        out.push_back(float(gate / (1 + std::exp(-gate)) * up * weight[r]));
      }
    }
    return out;
  }
  // exp is off by 2 units, the sum, the quotient and two products by one each; the oracle is rounded to float.
  double tolerance() const { return max_abs(expected()) * (8 * kUnit<float> + kUnit<T>); }
  std::vector<float> alone(int r) const {
    const auto out = filled<T>(1, size.width, NAN);
    swiglu<T>(exec(), one_row<T>(gate_up, r, 2 * size.width), to_device<float>(std::span(weight).subspan(r, 1)), out);
    return to_host(out);
  }
  double bytes() const { return double(size.num_tokens) * size.width * 3 * sizeof(T); }

  Size size;
  std::vector<float> gate_up, weight;
  View2D<T> gate_up_R2F, out_RF;
  View1D<float> weight_R;
};

/// Width: vocabulary.
struct TokenLogprobOp {
  static constexpr const char* kName = "token_logprob";
  static constexpr std::array kWidths{1, 17, 64, 257, 5003};
  static constexpr Size kRealSize{64, 200064};
  static constexpr float kScale = 10.0f;

  explicit TokenLogprobOp(Size wanted)
      : size(wanted),
        logits(random_rows<float>(0, size.num_tokens, size.width, 1, kScale)),
        target(random_integers(0, size.num_tokens, size.width, 2)),
        logits_TV(to_device<float>(logits, size.num_tokens, size.width)),
        target_T(integers_to_device<int>(target)),
        logprob_T("test::logprob", size.num_tokens) {}
  void run(const ExecSpace& on) const { token_logprob(on, logits_TV, target_T, logprob_T); }
  std::vector<float> actual() const { return to_host(logprob_T); }
  std::vector<float> expected() const {
    std::vector<float> out;
    for (int t = 0; t < size.num_tokens; ++t) {
      const float* row = &logits[std::size_t(t) * size.width];
      const double largest = *std::max_element(row, row + size.width);
      double sum = 0;
      for (int v = 0; v < size.width; ++v) sum += std::exp(row[v] - largest);
      out.push_back(float(row[target[t]] - largest - std::log(sum)));
    }
    return out;
  }
  // The two differences and the result are up to twice the largest logit; width / 64 + 6 additions and exp make an
  // absolute error of the logarithm.
  double tolerance() const { return (size.width / 64 + 10 + 8 * max_abs(logits)) * kUnit<float>; }
  std::vector<float> alone(int t) const {
    const View1D<float> out("test::logprob", 1);
    token_logprob(exec(), one_row<float>(logits, t, size.width),
                  integers_to_device<int>(std::span(target).subspan(t, 1)), out);
    return to_host(out);
  }
  double bytes() const { return double(size.num_tokens) * size.width * sizeof(float); }

  Size size;
  std::vector<float> logits;
  std::vector<int> target;
  View2D<float> logits_TV;
  View1D<int> target_T;
  View1D<float> logprob_T;
};

/// Width: vocabulary. Many logits are equal, and each ninth token is never chosen.
template <int kCount>
struct TopTokensOp {
  static constexpr const char* kName = "top_tokens";
  static constexpr std::array kWidths{1, 17, 64, 257, 5003};
  static constexpr Size kRealSize{64, 200064};

  explicit TopTokensOp(Size wanted)
      : size(wanted),
        logits(random_rows<float>(0, size.num_tokens, size.width, 1, 10.0f)),
        logits_BV("test::logits", size.num_tokens, size.width),
        scratch_BN("test::scratch", size.num_tokens, top_tokens_scratch(size.width)),
        top_BK("test::top", size.num_tokens, kCount) {
    for (float& logit : logits) logit = std::round(logit);
    for (int v = 0; v < size.width; ++v) never.push_back(v % 9 == 4 ? 1 : 0);
    never_V = integers_to_device<std::uint8_t>(never);
    logits_BV = to_device<float>(logits, size.num_tokens, size.width);
  }
  void run(const ExecSpace& on) const { top_tokens(on, logits_BV, never_V, scratch_BN, top_BK); }
  std::vector<float> actual() const { return numbers(to_host_as_is(top_BK)); }
  std::vector<float> expected() const {
    std::vector<TokenScore> out;
    for (int b = 0; b < size.num_tokens; ++b) {
      const float* row = &logits[std::size_t(b) * size.width];
      std::vector<TokenScore> all;
      for (int v = 0; v < size.width; ++v) {
        if (never[v] == 0) all.push_back({row[v], v});
      }
      std::ranges::stable_sort(all, [](const TokenScore& a, const TokenScore& c) { return a.score > c.score; });
      all.resize(kCount, {-INFINITY, -1});
      out.insert(out.end(), all.begin(), all.end());
    }
    return numbers(out);
  }
  double tolerance() const { return 0; }
  std::vector<float> alone(int b) const {
    const View2D<TokenScore> scratch("test::scratch", 1, top_tokens_scratch(size.width)), top("test::top", 1, kCount);
    top_tokens(exec(), one_row<float>(logits, b, size.width), never_V, scratch, top);
    return numbers(to_host_as_is(top));
  }
  double bytes() const {
    return double(size.num_tokens) * (size.width * sizeof(float) + kCount * sizeof(TokenScore)) + size.width;
  }

  // Scores and tokens as numbers that all_close can compare.
  static std::vector<float> numbers(const std::vector<TokenScore>& top) {
    std::vector<float> out;
    for (const TokenScore& each : top) out.insert(out.end(), {std::max(each.score, -1e30f), float(each.token)});
    return out;
  }

  Size size;
  std::vector<float> logits;
  std::vector<std::uint8_t> never;
  View2D<float> logits_BV;
  View1D<std::uint8_t> never_V;
  View2D<TokenScore> scratch_BN, top_BK;
};

}  // namespace m2::test
