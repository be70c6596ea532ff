// SPDX-License-Identifier: Apache-2.0
// Gradients in the case table: what stands token by token. Sums over tokens have tests of their own.
#pragma once

#include <algorithm>
#include <utility>

#include "kernels/central_difference.hpp"
#include "kernels/operation.hpp"
#include "kernels/rowwise/rms_norm.hpp"
#include "kernels/rowwise/swiglu.hpp"
#include "support/exec.hpp"

namespace m2::test {

/// Numbers, and how far an operation in float may be from them.
struct Bounded {
  std::vector<float> values;
  double error = 0;
};

/// Width: hidden size. The gradient of x; that of the weight is computed along the way.
template <class T>
struct RmsNormBackwardOp {
  static constexpr const char* kName = "rms_norm_backward";
  static constexpr std::array kWidths{1, 17, 64, 257};
  static constexpr Size kRealSize{512, 3072};
  static constexpr float kEps = 0.01f;  // large enough to matter, and to bound the third derivative

  explicit RmsNormBackwardOp(Size wanted)
      : size(wanted),
        x(random_rows<T>(0, size.num_tokens, size.width, 1, 2.0f)),
        dout(random_rows<T>(0, size.num_tokens, size.width, 3)),
        weight(normal(size.width, 2)),
        x_TD(to_device<T>(x, size.num_tokens, size.width)),
        dout_TD(to_device<T>(dout, size.num_tokens, size.width)),
        dx_TD(filled<T>(size.num_tokens, size.width, NAN)),
        weight_D(to_device<float>(weight)),
        dweight_D("test::dweight", size.width),
        scratch("test::scratch", rms_norm_backward_scratch(size.num_tokens, size.width)) {}
  void run(const ExecSpace& on) const {
    rms_norm_backward<T>(on, x_TD, weight_D, kEps, dout_TD, scratch, dx_TD, dweight_D);
  }
  std::vector<float> actual() const { return to_host(dx_TD); }
  std::vector<float> expected() const { return exact().values; }
  double tolerance() const { return exact().error; }
  Bounded exact() const {
    Bounded out;
    for (int t = 0; t < size.num_tokens; ++t) {
      const float* row = &x[std::size_t(t) * size.width];
      const float* drow = &dout[std::size_t(t) * size.width];
      double squares = 0, terms = 0;
      for (int d = 0; d < size.width; ++d) squares += double(row[d]) * row[d];
      for (int d = 0; d < size.width; ++d) terms += std::abs(double(row[d]) * weight[d] * drow[d]);
      const double scale = 1 / std::sqrt(squares / size.width + double(kEps));
      for (int d = 0; d < size.width; ++d) {
        const double dx = central_difference([&](double value) { return weighted_sum(row, drow, d, value); }, row[d]);
        out.values.push_back(float(dx));
        // The two terms of dx without their signs. The scale's error is that of rms_norm and enters three times, the
        // mean adds width / 64 + 6 partial sums.
        const double parts = scale * (std::abs(double(weight[d]) * drow[d]) +
                                      std::abs(double(row[d])) * scale * scale * terms / size.width);
        const double error = parts * 4 * (size.width / 64 + 14) * kUnit<float> + std::abs(dx) * 1.01 * kUnit<T>;
        out.error = std::max(out.error, error);
      }
    }
    return out;
  }
  // The sum of dout times rms_norm(x), with `value` instead of element d.
  double weighted_sum(const float* row, const float* drow, int d, double value) const {
    double squares = 0, sum = 0;
    for (int i = 0; i < size.width; ++i) {
      const double x_i = i == d ? value : double(row[i]);
      squares += x_i * x_i;
      sum += x_i * weight[i] * drow[i];
    }
    return sum / std::sqrt(squares / size.width + double(kEps));
  }
  std::vector<float> alone(int t) const {  // in place, and without the weight's gradient
    const auto row = one_row<T>(dout, t, size.width);
    rms_norm_backward<T>(exec(), one_row<T>(x, t, size.width), weight_D, kEps, row, View1D<float>(), row,
                         View1D<float>());
    return to_host(row);
  }
  double bytes() const { return double(size.num_tokens) * size.width * 3 * sizeof(T); }

  Size size;
  std::vector<float> x, dout, weight;
  View2D<T> x_TD, dout_TD, dx_TD;
  View1D<float> weight_D, dweight_D, scratch;
};

/// Width: columns of an expert's hidden layer. Rows carry a weight; its gradient is computed along the way.
template <class T>
struct SwigluBackwardOp {
  static constexpr const char* kName = "swiglu_backward";
  static constexpr std::array kWidths{1, 17, 64, 257};
  static constexpr Size kRealSize{4096, 1536};

  explicit SwigluBackwardOp(Size wanted)
      : size(wanted),
        gate_up(random_rows<T>(0, size.num_tokens, 2 * size.width, 1, 4.0f)),
        dout(random_rows<T>(0, size.num_tokens, size.width, 3)),
        weight(random_rows<float>(0, size.num_tokens, 1, 2)),
        gate_up_R2F(to_device<T>(gate_up, size.num_tokens, 2 * size.width)),
        dout_RF(to_device<T>(dout, size.num_tokens, size.width)),
        dgate_up_R2F(filled<T>(size.num_tokens, 2 * size.width, NAN)),
        activated_RF(filled<T>(size.num_tokens, size.width, NAN)),
        weight_R(to_device<float>(weight)),
        dweight_R("test::dweight", size.num_tokens) {}
  void run(const ExecSpace& on) const {
    swiglu_backward<T>(on, gate_up_R2F, weight_R, dout_RF, dgate_up_R2F, activated_RF, dweight_R);
  }
  std::vector<float> actual() const { return row_by_row(to_host(dgate_up_R2F), to_host(activated_RF)); }
  std::vector<float> expected() const { return exact().values; }
  double tolerance() const { return exact().error; }
  Bounded exact() const {
    std::vector<float> dgate_up(gate_up.size()), activated(dout.size());
    double error = 0;
    for (int r = 0; r < size.num_tokens; ++r) {
      for (int f = 0; f < size.width; ++f) {
        const std::size_t gate_at = std::size_t(r) * 2 * size.width + f, up_at = gate_at + size.width;
        const std::size_t at = std::size_t(r) * size.width + f;
        const double gate = gate_up[gate_at], up = gate_up[up_at], scaled = double(weight[r]) * dout[at];
        const auto silu_of = [](double z) { return z / (1 + std::exp(-z)); };
        const double dgate = central_difference([&](double z) { return silu_of(z) * up * scaled; }, gate);
        const double dup = central_difference([&](double u) { return silu_of(gate) * u * scaled; }, up);
        const double out = silu_of(gate) * up * weight[r];
        dgate_up[gate_at] = float(dgate), dgate_up[up_at] = float(dup), activated[at] = float(out);
        // 1 - sigmoid is off by up to four units of 1, which silu multiplies; besides, at most twelve roundings of
        // numbers no larger than 1.1 |up scaled| for dgate, and eight for the others.
        const double of_dgate = std::abs(up * scaled) * (4 * std::abs(gate) + 12 * 1.1);
        const double of_others = 8 * std::max(std::abs(dup), std::abs(out));
        const double largest = std::max({std::abs(dgate), std::abs(dup), std::abs(out)});
        error = std::max(error, std::max(of_dgate, of_others) * kUnit<float> + largest * 1.01 * kUnit<T>);
      }
    }
    return {row_by_row(dgate_up, activated), error};
  }
  std::vector<float> row_by_row(const std::vector<float>& dgate_up, const std::vector<float>& activated) const {
    std::vector<float> out;
    const std::ptrdiff_t width = size.width;
    for (std::ptrdiff_t r = 0; r < size.num_tokens; ++r) {
      out.insert(out.end(), dgate_up.begin() + 2 * r * width, dgate_up.begin() + 2 * (r + 1) * width);
      out.insert(out.end(), activated.begin() + r * width, activated.begin() + (r + 1) * width);
    }
    return out;
  }
  std::vector<float> alone(int r) const {  // in place, and without the weight's gradient
    const auto in_place = one_row<T>(gate_up, r, 2 * size.width), out = one_row<T>(dout, r, size.width);
    swiglu_backward<T>(exec(), in_place, to_device<float>(std::span(weight).subspan(r, 1)), out, in_place, out,
                       View1D<float>());
    std::vector<float> row = to_host(in_place);
    const std::vector<float> activated = to_host(out);
    row.insert(row.end(), activated.begin(), activated.end());
    return row;
  }
  double bytes() const { return double(size.num_tokens) * size.width * 6 * sizeof(T); }

  Size size;
  std::vector<float> gate_up, dout, weight;
  View2D<T> gate_up_R2F, dout_RF, dgate_up_R2F, activated_RF;
  View1D<float> weight_R, dweight_R;
};

}  // namespace m2::test
