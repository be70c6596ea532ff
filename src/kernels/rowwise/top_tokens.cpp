// SPDX-License-Identifier: Apache-2.0
#include "kernels/rowwise/top_tokens.hpp"

#include "kernels/common/operation_cost.hpp"
#include "kernels/common/rows.hpp"

// A tournament: a row is cut into chunks, each of which sends its best token. K times the best of those is taken, and
// its chunk sends the next one. A row is read once by many teams, and each further token costs two short scans.

namespace m2 {
namespace {

constexpr float kNone = -Kokkos::Experimental::infinity_v<float>;
constexpr float kInfinity = Kokkos::Experimental::infinity_v<float>;

// Tokens of a chunk. V / 1024 chunks are few enough for one team to scan, and a chunk many enough to keep it busy.
constexpr int kChunkTokens = 1024;

// What the tokens of one row are ranked by.
struct RowScores {
  const float* logits;
  const std::uint8_t* never;

  KOKKOS_FORCEINLINE_FUNCTION float operator()(int token) const {
    const float logit = logits[token];
    const float score = logit == logit ? logit : kInfinity;
    return never[token] != 0 ? kNone : score;
  }
};

// The best token of a chunk among those that come after `taken`.
KOKKOS_FORCEINLINE_FUNCTION TokenScore best_of_chunk(const RowMember& team, const RowScores& scores, int chunk,
                                                     int vocab_size, TokenScore taken) {
  const int first = chunk * kChunkTokens;
  // int(): Kokkos::min takes references, and a device has no address for kChunkTokens.
  const int count = Kokkos::min(int(kChunkTokens), vocab_size - first);
  const Largest best = row_largest(team, count, [=](int i) {
    const float score = scores(first + i);
    const bool comes_after = (score < taken.score) | ((score == taken.score) & (first + i > taken.token));
    return comes_after ? score : kNone;
  });
  return {best.value, best.value > kNone ? first + best.index : -1};
}

void best_of_chunks(const ExecSpace& exec, View2D<const float> logits_BV, View1D<const std::uint8_t> never_V,
                    View2D<TokenScore> best_BN) {
  const int num_chunks = best_BN.extent_int(1), vocab_size = logits_BV.extent_int(1);
  Kokkos::parallel_for(
      "m2::top_tokens::chunks", row_policy(exec, logits_BV.extent_int(0) * num_chunks),
      KOKKOS_LAMBDA(const RowMember& team) {
        const int b = team.league_rank() / num_chunks, n = team.league_rank() % num_chunks;
        const RowScores scores{row(logits_BV, b), never_V.data()};
        const TokenScore best = best_of_chunk(team, scores, n, vocab_size, {kInfinity, -1});
        Kokkos::single(Kokkos::PerTeam(team), [&]() { best_BN(b, n) = best; });
      });
}

// Takes the best of all chunks K times.
void take_in_order(const ExecSpace& exec, View2D<const float> logits_BV, View1D<const std::uint8_t> never_V,
                   View2D<TokenScore> best_BN, View2D<TokenScore> top_BK) {
  const int num_chunks = best_BN.extent_int(1), vocab_size = logits_BV.extent_int(1), count = top_BK.extent_int(1);
  Kokkos::parallel_for(
      "m2::top_tokens", row_policy(exec, logits_BV.extent_int(0)), KOKKOS_LAMBDA(const RowMember& team) {
        const int b = team.league_rank();
        const RowScores scores{row(logits_BV, b), never_V.data()};
        TokenScore* best_N = row(best_BN, b);
        for (int k = 0; k < count; ++k) {
          const int chunk = row_largest(team, num_chunks, [=](int n) { return best_N[n].score; }).index;
          const TokenScore taken = best_N[chunk];
          const bool is_last = k + 1 == count;
          const TokenScore next = is_last ? taken : best_of_chunk(team, scores, chunk, vocab_size, taken);
          team.team_barrier();
          Kokkos::single(Kokkos::PerTeam(team), [&]() {
            top_BK(b, k) = taken;
            best_N[chunk] = next;
          });
          team.team_barrier();
        }
      });
}

}  // namespace

int top_tokens_scratch(int vocab_size) { return (vocab_size + kChunkTokens - 1) / kChunkTokens; }

void top_tokens(const ExecSpace& exec, View2D<const float> logits_BV, View1D<const std::uint8_t> never_V,
                View2D<TokenScore> scratch_BN, View2D<TokenScore> top_BK) {
  require_same("top_tokens", "elements of never_V", never_V.extent(0), "columns of logits_BV", logits_BV.extent(1));
  require_same("top_tokens", "rows of top_BK", top_BK.extent(0), "rows of logits_BV", logits_BV.extent(0));
  require_same("top_tokens", "rows of scratch_BN", scratch_BN.extent(0), "rows of logits_BV", logits_BV.extent(0));
  require_same("top_tokens", "columns of scratch_BN", scratch_BN.extent(1), "chunks of a row",
               std::size_t(top_tokens_scratch(logits_BV.extent_int(1))));
  const LoggedOperation logged(exec, "top_tokens", [&] { return array_cost(logits_BV, never_V, top_BK); });
  best_of_chunks(exec, logits_BV, never_V, scratch_BN);
  take_in_order(exec, logits_BV, never_V, scratch_BN, top_BK);
}

}  // namespace m2
