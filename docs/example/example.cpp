// SPDX-License-Identifier: Apache-2.0
// Reads a checkpoint, and continues a few tokens greedily.
//
//   example CHECKPOINT TOKEN_ID...       CHECKPOINT: a Hugging Face folder, or a file of m2-convert
#include <Kokkos_Core.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <vector>

#include "model/minimax_m2_for_causal_lm.hpp"

namespace {

void run(const char* checkpoint, const std::vector<int>& prompt) {
  auto model = m2::MiniMaxM2ForCausalLM::from_pretrained(checkpoint, {.dtype = m2::DType::float32});
  std::printf("%d layers, %d experts in each\n", model.config().num_hidden_layers, model.config().num_local_experts);

  constexpr int kNewTokens = 8;
  m2::KVCache cache = model.make_cache(/*max_sequences=*/1, /*max_length=*/std::int64_t(prompt.size()) + kNewTokens);
  const int sequence = cache.add_sequence();

  m2::InputIds input{.num_sequences = 1, .length = int(prompt.size()), .ids = prompt};
  std::printf("tokens:");
  for (int i = 0; i < kNewTokens; ++i) {
    const m2::CausalLMOutput out =
        model.forward(input, {.logits_to_keep = 1, .cache = &cache, .cache_sequences = {sequence}});
    const auto logits = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace{}, out.logits_BNV);  // 1 x 1 x vocabulary
    const float* const first = logits.data();
    const int token = int(std::max_element(first, first + logits.size()) - first);
    std::printf(" %d", token);
    input = {.num_sequences = 1, .length = 1, .ids = {token}};  // the cache remembers the rest
  }
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: example CHECKPOINT TOKEN_ID...\n");
    return 2;
  }
  try {
    const Kokkos::ScopeGuard kokkos;
    std::vector<int> prompt;
    for (int i = 2; i < argc; ++i) prompt.push_back(std::atoi(argv[i]));
    run(argv[1], prompt);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "example: error: %s\n", error.what());
    return 1;
  }
}
