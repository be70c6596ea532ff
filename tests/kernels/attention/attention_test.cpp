// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/attention.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kernels/attention/attention_operation.hpp"

namespace m2::test {
namespace {

template <class T>
void expect_variants_agree() {
  for (const int num_tokens : {1, 3, 67}) {
    for (const int head_size : {1, 17, 64, 128}) {
      const AttentionOp<T> op({num_tokens, head_size});
      const auto out_TN = filled<T>(num_tokens, op.width, NAN);
      attention_portable<T>(exec(), op.q_TN, op.batch.cache, op.batch.layout, op.scale, out_TN, {});
      EXPECT_TRUE(all_close(to_host(out_TN), op.expected(), op.tolerance()))
          << num_tokens << " tokens, head size " << head_size;
    }
  }
}

TEST(AttentionPortable, AgreesWithTheOracle) {
  expect_variants_agree<float>();
  expect_variants_agree<Bf16>();
}

// `num_heads` query heads on one key/value head; a prompt of `num_tokens` at positions 0 ...
struct Prompt {
  Prompt(int num_tokens, int num_heads, int head_size)
      : width(num_heads * head_size),
        q_TN(to_device<float>(random_rows<float>(0, num_tokens, width, 5), num_tokens, width)),
        k_TN(to_device<float>(random_rows<float>(0, num_tokens, head_size, 6), num_tokens, head_size)),
        v_TN(to_device<float>(random_rows<float>(0, num_tokens, head_size, 7), num_tokens, head_size)) {
    const int num_pages = (num_tokens + kKvPage - 1) / kKvPage;
    cache.k_NGCP = View4D<float>("test::k", num_pages, 1, head_size, kKvPage);
    cache.v_NGPC = View4D<float>("test::v", num_pages, 1, kKvPage, head_size);
    Kokkos::deep_copy(cache.k_NGCP, NAN);
    Kokkos::deep_copy(cache.v_NGPC, NAN);
    std::vector<float> table(num_pages);
    for (int i = 0; i < num_pages; ++i) table[i] = float(i);
    page_table_BN = to_device<int>(table, 1, num_pages);
  }

  // Writes and reads tokens first .. last - 1, as one chunk of a prefill or one step of decoding.
  std::vector<float> run(int first, int last) const {
    std::vector<int> position;
    for (int t = first; t < last; ++t) position.push_back(t);
    const BatchLayout layout{integers_to_device<int>(std::vector<int>(position.size(), 0)),
                             integers_to_device<int>(position), page_table_BN};
    const auto rows = [&](const View2D<float>& x) { return Kokkos::subview(x, std::pair(first, last), Kokkos::ALL); };
    const auto out_TN = filled<float>(last - first, width, NAN);
    kv_write<float>(exec(), rows(k_TN), rows(v_TN), layout, cache);
    attention<float>(exec(), rows(q_TN), cache, layout, 0.1f, out_TN);
    return to_host(out_TN);
  }

  int width;
  View2D<float> q_TN, k_TN, v_TN;
  KvPages<float> cache;
  View2D<int> page_table_BN;
};

TEST(Attention, HasTheSameBitsInChunksOfAnySize) {
  constexpr int kTokens = 200;
  const std::vector<float> whole = Prompt(kTokens, 6, 16).run(0, kTokens);
  for (const int chunk : {1, 7, 64, 130}) {
    const Prompt prompt(kTokens, 6, 16);
    std::vector<float> in_chunks;
    for (int first = 0; first < kTokens; first += chunk) {
      const std::vector<float> part = prompt.run(first, std::min(kTokens, first + chunk));
      in_chunks.insert(in_chunks.end(), part.begin(), part.end());
    }
    EXPECT_TRUE(same_bits(in_chunks, whole)) << "chunks of " << chunk;
  }
}

TEST(Attention, NeverLooksAtLaterPositions) {
  const Prompt prompt(100, 3, 32);
  const std::vector<float> before = prompt.run(0, 70);
  prompt.run(70, 100);
  Kokkos::deep_copy(Kokkos::subview(prompt.cache.v_NGPC, 1, 0, std::pair(6, kKvPage), Kokkos::ALL), INFINITY);
  Kokkos::deep_copy(Kokkos::subview(prompt.cache.k_NGCP, 1, 0, Kokkos::ALL, std::pair(6, kKvPage)), NAN);
  EXPECT_TRUE(same_bits(prompt.run(0, 70), before));
}

// A head's bits don't depend on how many heads are worked on with it: any group, also one beyond a tile's rows.
TEST(Attention, TakesAnyNumberOfHeadsPerGroup) {
  for (const int num_heads : {1, 2, 5, 13, 64, 65, 150}) {
    const Prompt many(30, num_heads, 8), one(30, 1, 8);
    for (int h = 0; h < num_heads; h += 29) {
      Kokkos::deep_copy(one.q_TN, Kokkos::subview(many.q_TN, Kokkos::ALL, std::pair(8 * h, 8 * h + 8)));
      const std::vector<float> all = many.run(0, 30), alone = one.run(0, 30);
      for (std::size_t t = 0; t < 30; ++t) {
        const auto head = std::span(all).subspan((t * std::size_t(num_heads) + std::size_t(h)) * 8, 8);
        ASSERT_TRUE(same_bits(head, std::span(alone).subspan(t * 8, 8))) << fmt::format("head {} of {}", h, num_heads);
      }
    }
  }
}

TEST(Attention, OfOnePositionIsItsValue) {
  const Prompt prompt(1, 2, kMaxHeadSize);
  const std::vector<float> out = prompt.run(0, 1), value = to_host(prompt.v_TN);
  EXPECT_TRUE(same_bits(std::span(out).first(kMaxHeadSize), value));
  EXPECT_TRUE(same_bits(std::span(out).last(kMaxHeadSize), value));
}

TEST(Attention, SurvivesLargeScores) {
  const Prompt prompt(90, 1, 4);
  Kokkos::deep_copy(prompt.q_TN, 1e4f);
  for (const float value : prompt.run(0, 90)) ASSERT_TRUE(std::isfinite(value));
}

}  // namespace
}  // namespace m2::test
