// SPDX-License-Identifier: Apache-2.0
#include "model/packed_batch.hpp"

#include "core/error.hpp"
#include "core/host_copy.hpp"
#include "kernels/attention/rope.hpp"

namespace m2 {
namespace {

template <class T>
void fill_buffer(const ExecSpace& exec, const std::vector<T>& from, const View1D<T>& to) {
  M2_REQUIRE(from.size() == to.extent(0), "packed batch: {} tokens, the buffers are for {}", from.size(), to.extent(0));
  copy_to_device(exec, from, to);
}

}  // namespace

void PackedTokens::add(int token, int position, int sequence, int cache_position, bool skip_experts) {
  token_T.push_back(token);
  position_T.push_back(position);
  sequence_T.push_back(sequence);
  cache_position_T.push_back(cache_position);
  skip_experts_T.push_back(skip_experts);
}

PackedBatch::PackedBatch(std::int64_t num_tokens, int rotary_dim, Workspace& workspace)
    : token_T(workspace.take<int>(num_tokens)),
      position_T(workspace.take<int>(num_tokens)),
      sequence_T(workspace.take<int>(num_tokens)),
      cache_position_T(workspace.take<int>(num_tokens)),
      skip_experts_T(workspace.take<std::uint8_t>(num_tokens)),
      cos_TJ(workspace.take<float>(num_tokens, rotary_dim / 2)),
      sin_TJ(workspace.take<float>(num_tokens, rotary_dim / 2)) {}

void PackedBatch::fill(const ExecSpace& exec, const PackedTokens& tokens, KVCache& cache, double rope_theta,
                       bool round_rope) {
  fill_buffer(exec, tokens.token_T, token_T);
  fill_buffer(exec, tokens.position_T, position_T);
  fill_buffer(exec, tokens.sequence_T, sequence_T);
  fill_buffer(exec, tokens.cache_position_T, cache_position_T);
  fill_buffer(exec, tokens.skip_experts_T, skip_experts_T);
  page_table_BN = cache.page_table(exec);
  rope_table(exec, position_T, 2 * cos_TJ.extent_int(1), rope_theta, round_rope, cos_TJ, sin_TJ);
}

}  // namespace m2
