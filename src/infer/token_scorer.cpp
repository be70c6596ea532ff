// SPDX-License-Identifier: Apache-2.0
#include "infer/token_scorer.hpp"

#include <algorithm>

#include "core/host_copy.hpp"
#include "core/operation_log.hpp"
#include "kernels/moe/permute.hpp"
#include "kernels/rowwise/token_logprob.hpp"

namespace m2 {
namespace {

// Rows of logits held at once: enough to keep a matrix multiplication busy, 205 MB of MiniMax-M2's logits.
constexpr std::int64_t kRowsAtOnce = 256;

// Buffers of the head, for up to `max_tokens` rows.
template <class T>
struct HeadBuffers {
  View1D<int> row_N, target_N;
  View1D<float> logprob_N;
  View2D<T> rows_TD;
  View2D<float> logits_TV;
  HeadWorkspace<T> workspace;

  HeadBuffers(const MiniMaxM2ForCausalLM& model, std::int64_t max_tokens, Workspace& memory)
      : row_N(memory.take<int>(max_tokens)),
        target_N(memory.take<int>(max_tokens)),
        logprob_N(memory.take<float>(max_tokens)),
        rows_TD(memory.take<T>(std::min(max_tokens, kRowsAtOnce), model.config().hidden_size)),
        logits_TV(memory.take<float>(std::min(max_tokens, kRowsAtOnce), model.config().vocab_size)),
        workspace(model.model.config(), rows_TD.extent(0), memory) {}
};

template <class T>
std::int64_t bytes_for(const MiniMaxM2ForCausalLM& model, std::int64_t max_tokens) {
  Workspace counter;
  const HeadBuffers<T> buffers(model, max_tokens, counter);
  return counter.peak_bytes() + model.model.workspace_bytes<T>(max_tokens);
}

}  // namespace

std::int64_t TokenScorer::workspace_bytes(const MiniMaxM2ForCausalLM& model, std::int64_t max_tokens) {
  model.require_providers();
  return model.dtype() == DType::bfloat16 ? bytes_for<Bf16>(model, max_tokens) : bytes_for<float>(model, max_tokens);
}

TokenScorer::TokenScorer(const MiniMaxM2ForCausalLM& model, std::int64_t max_tokens)
    : model_(model), workspace_(model.exec(), workspace_bytes(model, max_tokens)) {}

std::vector<float> TokenScorer::score(const PackedTokens& tokens, std::span<const int> rows_N,
                                      std::span<const int> target_N, KVCache& cache) {
  M2_REQUIRE(rows_N.size() == target_N.size(), "score: {} rows and {} targets must agree", rows_N.size(),
             target_N.size());
  for (const int row : rows_N) {
    M2_REQUIRE(row >= 0 && row < tokens.size(), "score: row {} is not one of the {} tokens", row, tokens.size());
  }
  M2_REQUIRE(std::ssize(rows_N) <= tokens.size(), "score: {} rows of {} tokens, expected each at most once",
             rows_N.size(), tokens.size());
  for (const int target : target_N) {
    M2_REQUIRE(target >= 0 && target < model_.config().vocab_size, "score: target {} is outside the vocabulary of {}",
               target, model_.config().vocab_size);
  }
  return model_.dtype() == DType::bfloat16 ? score_as<Bf16>(tokens, rows_N, target_N, cache)
                                           : score_as<float>(tokens, rows_N, target_N, cache);
}

template <class T>
std::vector<float> TokenScorer::score_as(const PackedTokens& tokens, std::span<const int> rows_N,
                                         std::span<const int> target_N, KVCache& cache) {
  const ExecSpace& exec = model_.exec();
  const Workspace::Frame frame(workspace_);
  const HeadBuffers<T> head(model_, tokens.size(), workspace_);
  const View1D<int> row_N = copy_to_device(exec, rows_N, head.row_N);
  const View1D<int> target = copy_to_device(exec, target_N, head.target_N);
  const View2D<const T> hidden_TD = model_.model.forward<T>(exec, tokens, cache, workspace_);

  const OperationPlace place("lm_head");
  const std::int64_t num_rows = std::ssize(rows_N);
  for (std::int64_t begin = 0; begin < num_rows; begin += kRowsAtOnce) {
    const std::int64_t count = std::min(kRowsAtOnce, num_rows - begin);
    const View2D<T> rows_TD = slice(head.rows_TD, 0, count);
    const View2D<float> logits_TV = slice(head.logits_TV, 0, count);
    gather_rows<T>(exec, hidden_TD, slice(row_N, begin, begin + count), rows_TD);
    model_.compute_logits<T>(rows_TD, head.workspace, logits_TV);
    token_logprob(exec, logits_TV, slice(target, begin, begin + count), slice(head.logprob_N, begin, begin + count));
  }
  return to_host(exec, slice(head.logprob_N, 0, num_rows), "m2::token_scorer: log-probabilities for the host");
}

}  // namespace m2
