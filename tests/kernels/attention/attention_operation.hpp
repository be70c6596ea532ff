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
    std::vector<float> out;
    for_heads([&](const Exact& head) { out.insert(out.end(), head.out.begin(), head.out.end()); });
    return out;
  }
  /// Largest error of an output, by running error analysis (Higham, Accuracy and Stability of Numerical Algorithms,
  /// 3.3): each operation in float adds at most 2^-24 of its own result. 1 % for what is not of first order.
  double tolerance() const {
    double largest = 0;
    for_heads([&](const Exact& head) { largest = std::max(largest, head.error); });
    return 1.01 * largest;
  }

  /// One token and query head: the outputs, and how far the kernel may be from them.
  struct Exact {
    std::vector<float> out;
    double error = 0;
  };
  struct Score {
    double value = 0, error = 0;
  };

  template <class Body>
  void for_heads(const Body& body) const {
    for (int t = 0; t < size.num_tokens; ++t) {
      for (int h = 0; h < kKvHeads * kGroup; ++h) body(attend(t, h));
    }
  }

  const float* cached(const std::vector<std::vector<float>>& from, int t, int p, int h) const {
    return &from[batch.sequence[t]][(std::size_t(p) * kKvHeads + h / kGroup) * size.width];
  }

  // A chain of `width` products, then the scale.
  Score score(int t, int h, int p) const {
    const float* const query = &q[std::size_t(t) * width + std::size_t(h) * size.width];
    double sum = 0, error = 0;
    for (int c = 0; c < size.width; ++c) {
      sum += double(query[c]) * cached(batch.k, t, p, h)[c];
      error += std::abs(sum);
    }
    return {sum * scale, (error + std::abs(sum)) * scale * kUnit<float>};
  }

  // The weight of a position is exp(score - largest), times one exponential for each time that a later page had a
  // larger score: their arguments add up to largest - score. An exponential is off by 2 units, its product by one.
  // Numerators are chains over the positions, and are multiplied once a page; the denominator adds 64 numbers in 6
  // steps and that to the product of what it was. Then the quotient, the oracle's rounding to float, and that to T.
  Exact attend(int t, int h) const {
    const int positions = batch.position[t] + 1, pages = (positions + kKvPage - 1) / kKvPage;
    std::vector<Score> scores;
    for (int p = 0; p < positions; ++p) scores.push_back(score(t, h, p));
    const double largest = std::ranges::max(scores, {}, &Score::value).value;
    double total = 0;
    for (Score& of : scores) {
      of.error += (largest - of.value + 3 * pages) * kUnit<float>;
      total += of.value = std::exp(of.value - largest);
    }
    Exact exact;
    for (int c = 0; c < size.width; ++c) {
      double sum = 0, chain = 0, weights = 0;
      for (int p = 0; p < positions; ++p) {
        if (p % kKvPage == 0) chain += std::abs(sum);
        chain += std::abs(sum += scores[p].value * cached(batch.v, t, p, h)[c]);
      }
      const double out = sum / total;
      for (int p = 0; p < positions; ++p)
        weights += scores[p].value * scores[p].error * std::abs(cached(batch.v, t, p, h)[c] - out);
      const double sums = chain / total + (6 + 2 * pages + 2) * std::abs(out);
      exact.out.push_back(float(out));
      exact.error = std::max(exact.error, weights / total + sums * kUnit<float> + std::abs(out) * kUnit<T>);
    }
    return exact;
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
  double flop() const {  // q k and the weights times v, for each head's channels
    double positions = 0;
    for (const int position : batch.position) positions += position + 1;
    return positions * 2 * 2 * width;
  }

  Size size;
  int width;
  float scale;
  std::vector<float> q;
  CachedBatch<T> batch;
  View2D<T> q_TN, out_TN;
};

/// Width: head size; half of it, rounded down to pairs, is rotated. Two heads, positions 1000, 1001, ...
template <class T, RopeDirection kDirection = RopeDirection::forward>
struct RopeOp {
  static constexpr bool kIsBackward = kDirection == RopeDirection::backward;
  static constexpr const char* kName = kIsBackward ? "rope_backward" : "rope";
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
  void run(const ExecSpace& on) const { rope<T>(on, cos_TJ, sin_TJ, size.width, false, kDirection, x_TN); }
  std::vector<float> actual() const { return to_host(x_TN); }
  std::vector<float> expected() const {
    std::vector<float> out = x;
    for (int t = 0; t < size.num_tokens; ++t) {
      for (int h = 0; h < kHeads; ++h) {
        float* head = &out[(std::size_t(t) * kHeads + h) * size.width];
        for (int j = 0; j < pairs; ++j) {
          const double angle = (kIsBackward ? -1 : 1) * (1000 + t) * std::pow(kTheta, -double(j) / pairs), a = head[j],
                       b = head[j + pairs];
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
            false, kDirection, row);
    return to_host(row);
  }
  double bytes() const { return double(size.num_tokens) * kHeads * 4 * pairs * sizeof(T); }

  Size size;
  int pairs;
  std::vector<float> x;
  View2D<T> x_TN;
  View2D<float> cos_TJ, sin_TJ;
};

}  // namespace m2::test
