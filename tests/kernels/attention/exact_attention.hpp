// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "kernels/operation.hpp"

namespace m2::test {

/// Causal attention of whole sequences and its gradients by plain loops in double, with first-order bounds of how far a
/// kernel in float may be away. Rows are tokens, columns heads x head_size; tokens begin[b] .. begin[b + 1] - 1 are a
/// sequence. A chain of n fused operations is off by at most n units (2^-24) of the sum of its terms' magnitudes.
struct ExactAttention {
  int num_heads, num_kv_heads, head_size;
  double scale;
  std::vector<int> begin;
  std::vector<double> q{}, k{}, v{}, dout{};
  std::vector<double> out{}, lse{};  ///< by forward(), or given
  std::vector<double> dq{}, dk{}, dv{};
  double lse_error = 0;                             ///< the largest bound
  double dq_error = 0, dk_error = 0, dv_error = 0;  ///< the same, with results rounded to T
  static constexpr double kOne = kUnit<float>;

  int num_tokens() const { return begin.back(); }
  int group() const { return num_heads / num_kv_heads; }
  std::size_t query(int t, int h) const { return (std::size_t(t) * num_heads + h) * head_size; }
  std::size_t key(int t, int h) const { return (std::size_t(t) * num_kv_heads + h / group()) * head_size; }

  struct Sum {
    double value = 0, magnitude = 0;
    double chain_error(int count) const { return count * kOne * magnitude; }
  };
  Sum dot(const double* a, const double* b) const {
    Sum sum;
    for (int c = 0; c < head_size; ++c) {
      sum.value += a[c] * b[c];
      sum.magnitude += std::abs(a[c] * b[c]);
    }
    return sum;
  }

  /// Body(t, h, first token of t's sequence).
  template <class Body>
  void for_queries(const Body& body) const {
    for (std::size_t b = 0; b + 1 < begin.size(); ++b) {
      for (int t = begin[b]; t < begin[b + 1]; ++t) {
        for (int h = 0; h < num_heads; ++h) body(t, h, begin[b]);
      }
    }
  }

  // The total of a kernel adds exponentials of scores less a largest one, page by page; each was multiplied by one
  // exponential for each later page, their arguments add up to largest - score. An exponential is off by 3 units, a
  // page's sum is a tree of 6 levels. A logarithm is off by 4 units.
  void forward() {
    out.assign(q.size(), 0);
    lse.assign(std::size_t(num_tokens()) * num_heads, 0);
    for_queries([&](int t, int h, int first) {
      const int pages = (t - first) / 64 + 1;
      std::vector<double> score, error;
      for (int s = first; s <= t; ++s) {
        const Sum sum = dot(&q[query(t, h)], &k[key(s, h)]);
        score.push_back(sum.value * scale);
        error.push_back(sum.chain_error(head_size) * scale + kOne * std::abs(score.back()));
      }
      const double largest = *std::ranges::max_element(score);
      double total = 0, total_error = 0;
      for (std::size_t i = 0; i < score.size(); ++i) {
        const double weight = std::exp(score[i] - largest);
        total += weight;
        total_error += weight * (error[i] + kOne * (largest - score[i] + 4 * pages + 6 + pages));
      }
      for (int s = first; s <= t; ++s) {
        const double weight = std::exp(score[std::size_t(s - first)] - largest) / total;
        for (int c = 0; c < head_size; ++c) out[query(t, h) + c] += weight * v[key(s, h) + c];
      }
      const double log_total = std::log(total), result = largest + log_total;
      lse[std::size_t(t) * num_heads + h] = result;
      lse_error = std::max(lse_error, total_error / total + kOne * (4 * std::abs(log_total) + 2 * std::abs(result)));
    });
  }

  /// A gradient while it is summed: terms, and what their factors' errors make.
  struct Gradient {
    std::vector<double> value, magnitude, error;
    std::vector<int> count;
    explicit Gradient(std::size_t size) : value(size), magnitude(size), error(size), count(size) {}
    void add(std::size_t i, double factor, double factor_error, double other) {
      value[i] += factor * other;
      magnitude[i] += std::abs(factor * other);
      error[i] += factor_error * std::abs(other);
      ++count[i];
    }
    // Multiplied, then rounded to float twice (here and in the kernel) and to T. 1 % for what is not of first order.
    double finish(double factor, double unit, std::vector<double>& result) {
      double largest = 0;
      result = value;
      for (std::size_t i = 0; i < value.size(); ++i) {
        result[i] *= factor;
        const double summed = factor * (error[i] + count[i] * kOne * magnitude[i]);
        largest = std::max(largest, 1.01 * (summed + (2 * kOne + unit) * std::abs(result[i])));
      }
      return largest;
    }
  };

  /// From q, k, v, dout, out and lse. `unit`: the largest relative error of a kernel's rounding of its results.
  void backward(double unit) {
    Gradient to_q(q.size()), to_k(k.size()), to_v(k.size());
    for_queries([&](int t, int h, int first) {
      const std::size_t i = query(t, h);
      const Sum delta = dot(&dout[i], &out[i]);
      const double delta_error = (head_size / 64.0 + 12) * kOne * delta.magnitude;  // lanes, then a tree
      for (int s = first; s <= t; ++s) {
        const std::size_t j = key(s, h);
        const Sum score = dot(&q[i], &k[j]), dweight = dot(&dout[i], &v[j]);
        const double exponent = score.value * scale - lse[std::size_t(t) * num_heads + h], weight = std::exp(exponent);
        const double weight_error = weight * (score.chain_error(head_size) * scale +
                                              kOne * (std::abs(score.value * scale) + std::abs(exponent) + 3));
        const double difference = dweight.value - delta.value, dscore = weight * difference;
        const double dscore_error = std::abs(difference) * (weight_error + 2 * kOne * weight) +
                                    weight * (dweight.chain_error(head_size) + delta_error);
        for (int c = 0; c < head_size; ++c) {
          to_q.add(i + c, dscore, dscore_error, k[j + c]);
          to_k.add(j + c, dscore, dscore_error, q[i + c]);
          to_v.add(j + c, weight, weight_error, dout[i + c]);
        }
      }
    });
    dq_error = to_q.finish(scale, unit, dq);
    dk_error = to_k.finish(scale, unit, dk);
    dv_error = to_v.finish(1, unit, dv);
  }
};

}  // namespace m2::test
