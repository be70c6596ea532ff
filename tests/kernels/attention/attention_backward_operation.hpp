// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <numeric>
#include <span>

#include "kernels/attention/attention.hpp"
#include "kernels/attention/attention_backward.hpp"
#include "kernels/attention/exact_attention.hpp"
#include "kernels/operation.hpp"
#include "support/exec.hpp"

namespace m2::test {

/// Whole sequences in the cache. Rows of the page table and physical pages are in descending order; unwritten places
/// hold NaN.
template <class T>
struct TrainingBatch {
  TrainingBatch(const std::vector<int>& lengths, int num_kv_heads, int head_size, View2D<const T> k_TM,
                View2D<const T> v_TM) {
    std::vector<int> sequence, position;
    int most_pages = 1;
    const int num_sequences = int(lengths.size());
    for (int b = 0; b < num_sequences; ++b) {
      most_pages = std::max(most_pages, (lengths[b] + kKvPage - 1) / kKvPage);
      sequence.insert(sequence.end(), lengths[b], num_sequences - 1 - b);
      for (int p = 0; p < lengths[b]; ++p) position.push_back(p);
      begin.push_back(begin.back() + lengths[b]);
    }
    const int num_pages = std::max(1, num_sequences * most_pages);
    std::vector<float> table(num_pages);
    for (int i = 0; i < num_pages; ++i) table[i] = float(num_pages - 1 - i);
    layout = {integers_to_device<int>(sequence), integers_to_device<int>(position),
              to_device<int>(table, std::max(1, num_sequences), most_pages)};
    begin_B1 = integers_to_device<int>(begin);
    cache.k_NGCP = View4D<T>("test::k", num_pages, num_kv_heads, head_size, kKvPage);
    cache.v_NGPC = View4D<T>("test::v", num_pages, num_kv_heads, kKvPage, head_size);
    Kokkos::deep_copy(cache.k_NGCP, T(float(NAN)));
    Kokkos::deep_copy(cache.v_NGPC, T(float(NAN)));
    kv_write<T>(exec(), k_TM, v_TM, layout, cache);
  }

  std::vector<int> begin{0};
  View1D<int> begin_B1;
  BatchLayout layout;
  KvPages<T> cache;
};

/// Width: head size; three query heads on each of two key/value heads. What it writes for a token: dq, dk and dv.
template <class T>
struct AttentionBackwardOp {
  static constexpr const char* kName = "attention_backward";
  static constexpr std::array kWidths{1, 17, 64, 96};
  static constexpr Size kRealSize{512, 128};
  static constexpr int kKvHeads = 2, kGroup = 3, kHeads = kKvHeads * kGroup;

  explicit AttentionBackwardOp(Size wanted) : AttentionBackwardOp(wanted.width, lengths_of(wanted.num_tokens)) {}
  AttentionBackwardOp(int head_size, std::vector<int> lengths_, int first_token = 0)
      : lengths(std::move(lengths_)),
        num_tokens(std::accumulate(lengths.begin(), lengths.end(), 0)),
        size{num_tokens, head_size},
        width(kHeads * head_size),
        kv_width(kKvHeads * head_size),
        scale(1 / std::sqrt(float(head_size))),
        first(first_token),
        q(random_rows<T>(first, num_tokens, width, 1)),
        k(random_rows<T>(first, num_tokens, kv_width, 2)),
        v(random_rows<T>(first, num_tokens, kv_width, 3)),
        dout(random_rows<T>(first, num_tokens, width, 4)),
        batch(lengths, kKvHeads, head_size, to_device<T>(k, num_tokens, kv_width),
              to_device<T>(v, num_tokens, kv_width)),
        q_TN(to_device<T>(q, num_tokens, width)),
        dout_TN(to_device<T>(dout, num_tokens, width)),
        out_TN(filled<T>(num_tokens, width, NAN)),
        dq_TN(filled<T>(num_tokens, width, NAN)),
        dk_TM(filled<T>(num_tokens, kv_width, NAN)),
        dv_TM(filled<T>(num_tokens, kv_width, NAN)),
        lse_TH(filled<float>(num_tokens, kHeads, NAN)),
        scratch("test::scratch", attention_backward_scratch(num_tokens, kHeads)) {
    run_forward(exec());
  }

  // Lengths around the page size, in turns.
  static std::vector<int> lengths_of(int num_tokens) {
    constexpr std::array kLengths{1, 63, 65, 130, 64};
    std::vector<int> out;
    for (std::size_t i = 0; num_tokens > 0; num_tokens -= out.back(), ++i)
      out.push_back(std::min(num_tokens, kLengths[i % kLengths.size()]));
    return out;
  }

  void run_forward(const ExecSpace& on) const {
    attention<T>(on, q_TN, batch.cache, batch.layout, scale, out_TN, lse_TH);
  }
  void run(const ExecSpace& on) const {
    attention_backward<T>(on, q_TN, batch.cache, batch.layout, batch.begin_B1, scale, out_TN, dout_TN, lse_TH, scratch,
                          dq_TN, dk_TM, dv_TM);
  }
  std::vector<float> actual() const { return by_token(to_host(dq_TN), to_host(dk_TM), to_host(dv_TM)); }
  std::vector<float> expected() const {
    const ExactAttention exact = gradients();
    const auto floats = [](const std::vector<double>& from) { return std::vector<float>(from.begin(), from.end()); };
    return by_token(floats(exact.dq), floats(exact.dk), floats(exact.dv));
  }
  double tolerance() const {
    const ExactAttention exact = gradients();
    return std::max({exact.dq_error, exact.dk_error, exact.dv_error});
  }

  /// The inputs, without out and lse.
  ExactAttention exact_inputs() const {
    const auto doubles = [](const std::vector<float>& from) { return std::vector<double>(from.begin(), from.end()); };
    return {.num_heads = kHeads,
            .num_kv_heads = kKvHeads,
            .head_size = size.width,
            .scale = scale,
            .begin = batch.begin,
            .q = doubles(q),
            .k = doubles(k),
            .v = doubles(v),
            .dout = doubles(dout)};
  }
  /// From attention's own out and lse, which are inputs like the others.
  ExactAttention gradients() const {
    ExactAttention exact = exact_inputs();
    const std::vector<float> out = to_host(out_TN), lse = to_host(lse_TH);
    exact.out.assign(out.begin(), out.end());
    exact.lse.assign(lse.begin(), lse.end());
    exact.backward(kUnit<T>);
    return exact;
  }

  std::vector<float> by_token(const std::vector<float>& dq, const std::vector<float>& dk,
                              const std::vector<float>& dv) const {
    std::vector<float> out;
    for (int t = 0; t < num_tokens; ++t) {
      out.insert(out.end(), dq.begin() + std::ptrdiff_t(t) * width, dq.begin() + std::ptrdiff_t(t + 1) * width);
      for (const auto* of : {&dk, &dv})
        out.insert(out.end(), of->begin() + std::ptrdiff_t(t) * kv_width,
                   of->begin() + std::ptrdiff_t(t + 1) * kv_width);
    }
    return out;
  }

  /// With the token's sequence as the whole batch.
  std::vector<float> alone(int t) const {
    const int b = int(std::ranges::upper_bound(batch.begin, t) - batch.begin.begin()) - 1;
    const AttentionBackwardOp sequence(size.width, {lengths[b]}, first + batch.begin[b]);
    sequence.run(exec());
    const std::vector<float> all = sequence.actual();
    const std::ptrdiff_t per_token = width + 2 * kv_width, row = t - batch.begin[b];
    return {all.begin() + row * per_token, all.begin() + (row + 1) * per_token};
  }
  double bytes() const {
    return double(num_tokens) * ((4.0 * width + 4.0 * kv_width) * sizeof(T) + kHeads * sizeof(float));
  }
  double flop() const {  // five products over each head's channels
    double positions = 0;
    for (const int length : lengths) positions += 0.5 * length * (length + 1.0);
    return positions * 5 * 2 * width;
  }

  std::vector<int> lengths;
  int num_tokens;
  Size size;
  int width, kv_width;
  float scale;
  int first;
  std::vector<float> q, k, v, dout;
  TrainingBatch<T> batch;
  View2D<T> q_TN, dout_TN, out_TN, dq_TN, dk_TM, dv_TM;
  View2D<float> lse_TH;
  View1D<float> scratch;
};

}  // namespace m2::test
