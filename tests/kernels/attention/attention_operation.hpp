// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "kernels/attention/attention.hpp"
#include "kernels/attention/attention_variants.hpp"
#include "kernels/attention/rope.hpp"
#include "kernels/operation.hpp"
#include "support/exec.hpp"

namespace m2::test {

/// A cache with histories, written by kv_write. Sequence 0 ends with a prompt of two thirds of the batch's tokens; each
/// other token continues a sequence of its own. Physical pages are in descending order, and unwritten places hold NaN.
template <class T>
struct CachedBatch {
  CachedBatch(int num_tokens, int kv_heads, int size_of_head, int history)
      : num_kv_heads(kv_heads), head_size(size_of_head) {
    const int prompt = (2 * num_tokens + 2) / 3;
    for (int t = 0; t < num_tokens; ++t) {
      sequence.push_back(t < prompt ? 0 : t - prompt + 1);
      position.push_back(t < prompt ? history + t : (history + 29 * t) % (2 * history));
    }
    const int num_sequences = num_tokens - prompt + 1;
    pages_per_sequence = (std::max(history + prompt, 2 * history) + kKvPage - 1) / kKvPage;
    const int num_pages = num_sequences * pages_per_sequence;
    cache.k_NGCP = View4D<T>("test::k", num_pages, num_kv_heads, head_size, kKvPage);
    cache.v_NGPC = View4D<T>("test::v", num_pages, num_kv_heads, kKvPage, head_size);
    Kokkos::deep_copy(cache.k_NGCP, T(float(NAN)));
    Kokkos::deep_copy(cache.v_NGPC, T(float(NAN)));
    std::vector<float> table(num_pages);
    for (int i = 0; i < num_pages; ++i) table[i] = float(num_pages - 1 - i);
    layout.page_table_BN = to_device<int>(table, num_sequences, pages_per_sequence);
    layout.sequence_T = integers_to_device<int>(sequence);
    layout.cache_position_T = integers_to_device<int>(position);
    for (int s = 0; s < num_sequences; ++s) write_history(s);
  }

  // Positions 0 .. the sequence's last one.
  void write_history(int s) {
    int length = 0;
    for (std::size_t t = 0; t < sequence.size(); ++t)
      length = sequence[t] == s ? std::max(length, position[t] + 1) : length;
    const int width = num_kv_heads * head_size;
    k.push_back(random_rows<T>(0, length, width, 100 + 2 * std::uint64_t(s)));
    v.push_back(random_rows<T>(0, length, width, 101 + 2 * std::uint64_t(s)));
    std::vector<int> positions(length);
    for (int p = 0; p < length; ++p) positions[p] = p;
    const BatchLayout history{integers_to_device<int>(std::vector<int>(length, s)), integers_to_device<int>(positions),
                              layout.page_table_BN};
    kv_write<T>(exec(), to_device<T>(k[s], length, width), to_device<T>(v[s], length, width), history, cache);
  }

  int num_kv_heads, head_size, pages_per_sequence = 0;
  std::vector<int> sequence, position;
  std::vector<std::vector<float>> k, v;  // by sequence: positions x (G * C)
  KvPages<T> cache;
  BatchLayout layout;
};

/// Width: head size; three query heads on each of two key/value heads.
template <class T>
struct AttentionOp {
  static constexpr const char* kName = "attention";
  static constexpr std::array kWidths{1, 17, 64, 96};
  static constexpr Size kRealSize{512, 128};
  static constexpr int kKvHeads = 2, kGroup = 3, kHistory = 70;

  explicit AttentionOp(Size wanted)
      : size(wanted),
        width(kKvHeads * kGroup * size.width),
        scale(1 / std::sqrt(float(size.width))),
        q(random_rows<T>(0, size.num_tokens, width, 1)),
        batch(size.num_tokens, kKvHeads, size.width, kHistory),
        q_TN(to_device<T>(q, size.num_tokens, width)),
        out_TN(filled<T>(size.num_tokens, width, NAN)) {}
  void run(const ExecSpace& on) const { attention<T>(on, q_TN, batch.cache, batch.layout, scale, out_TN); }
  std::vector<float> actual() const { return to_host(out_TN); }
  std::vector<float> expected() const {
    std::vector<float> out(q.size());
    for (int t = 0; t < size.num_tokens; ++t) {
      for (int h = 0; h < kKvHeads * kGroup; ++h)
        attend(t, h, &out[std::size_t(t) * width + std::size_t(h) * size.width]);
    }
    return out;
  }
  void attend(int t, int h, float* out) const {
    const int sequence = batch.sequence[t], positions = batch.position[t] + 1, g = h / kGroup;
    const auto cached = [&](const std::vector<std::vector<float>>& from, int p) {
      return &from[sequence][(std::size_t(p) * kKvHeads + g) * size.width];
    };
    std::vector<double> weight(positions);
    double total = 0;
    for (int p = 0; p < positions; ++p) {
      double score = 0;
      for (int c = 0; c < size.width; ++c)
        score += double(q[std::size_t(t) * width + h * size.width + c]) * cached(batch.k, p)[c];
      total += weight[p] = std::exp(score * scale);
    }
    for (int c = 0; c < size.width; ++c) {
      double sum = 0;
      for (int p = 0; p < positions; ++p) sum += weight[p] * cached(batch.v, p)[c];
      out[c] = float(sum / total);
    }
  }
  // A score is a chain of `width` products of numbers below `largest`: its error, times the exponential, is that of a
  // weight, and goes into numerator and denominator; both are sums over the positions, kept through pages.
  double tolerance() const {
    const double largest = std::max(max_abs(q), max_abs(batch.k[0]));
    const double score_error = double(scale) * size.width * (size.width + 2) * largest * largest * kUnit<float>;
    const double sum_error = (kHistory + size.num_tokens + 2 * batch.pages_per_sequence + 8) * kUnit<float>;
    return max_abs(batch.v[0]) * 1.5 * (2 * score_error + 2 * sum_error + kUnit<T>);
  }
  std::vector<float> alone(int t) const {
    const auto out = filled<T>(1, width, NAN);
    const BatchLayout layout{integers_to_device<int>(std::span(batch.sequence).subspan(t, 1)),
                             integers_to_device<int>(std::span(batch.position).subspan(t, 1)),
                             batch.layout.page_table_BN};
    attention<T>(exec(), one_row<T>(q, t, width), batch.cache, layout, scale, out);
    return to_host(out);
  }
  double bytes() const {
    double positions = 0;
    for (const auto& keys : batch.k) positions += double(keys.size()) * 2;
    return (positions + 2 * double(q.size())) * sizeof(T);
  }
  double flop() const {
    double positions = 0;
    for (const int position : batch.position) positions += position + 1;
    return positions * 4 * width;
  }

  Size size;
  int width;
  float scale;
  std::vector<float> q;
  CachedBatch<T> batch;
  View2D<T> q_TN, out_TN;
};

/// Width: head size; half of it, rounded down to pairs, is rotated. Two heads, positions 1000, 1001, ...
template <class T>
struct RopeOp {
  static constexpr const char* kName = "rope";
  static constexpr std::array kWidths{4, 17, 64, 257};
  static constexpr Size kRealSize{512, 128};
  static constexpr double kTheta = 5e6;
  static constexpr int kHeads = 2;

  explicit RopeOp(Size wanted)
      : size(wanted),
        pairs(size.width / 4),
        x(random_rows<T>(0, size.num_tokens, kHeads * size.width, 1)),
        x_TN(to_device<T>(x, size.num_tokens, kHeads * size.width)),
        cos_TJ("test::cos", size.num_tokens, pairs),
        sin_TJ("test::sin", size.num_tokens, pairs) {
    std::vector<int> position(size.num_tokens);
    for (int t = 0; t < size.num_tokens; ++t) position[t] = 1000 + t;
    rope_table(exec(), integers_to_device<int>(position), 2 * pairs, kTheta, false, cos_TJ, sin_TJ);
  }
  void run(const ExecSpace& on) const { rope<T>(on, cos_TJ, sin_TJ, size.width, false, x_TN); }
  std::vector<float> actual() const { return to_host(x_TN); }
  std::vector<float> expected() const {
    std::vector<float> out = x;
    for (int t = 0; t < size.num_tokens; ++t) {
      for (int h = 0; h < kHeads; ++h) {
        float* head = &out[(std::size_t(t) * kHeads + h) * size.width];
        for (int j = 0; j < pairs; ++j) {
          const double angle = (1000 + t) * std::pow(kTheta, -double(j) / pairs), a = head[j], b = head[j + pairs];
          head[j] = float(a * std::cos(angle) - b * std::sin(angle));
          head[j + pairs] = float(b * std::cos(angle) + a * std::sin(angle));
        }
      }
    }
    return out;
  }
  // Table, product and sum are rounded; the sum of two terms is at most twice the largest number.
  double tolerance() const { return max_abs(x) * (6 * kUnit<float> + 1.5 * kUnit<T>); }
  std::vector<float> alone(int t) const {
    const auto row = one_row<T>(x, t, kHeads * size.width);
    const auto rows = std::pair(t, t + 1);
    rope<T>(exec(), Kokkos::subview(cos_TJ, rows, Kokkos::ALL), Kokkos::subview(sin_TJ, rows, Kokkos::ALL), size.width,
            false, row);
    return to_host(row);
  }
  double bytes() const { return double(size.num_tokens) * kHeads * 4 * pairs * sizeof(T); }
  double flop() const { return 0; }

  Size size;
  int pairs;
  std::vector<float> x;
  View2D<T> x_TN;
  View2D<float> cos_TJ, sin_TJ;
};

}  // namespace m2::test
