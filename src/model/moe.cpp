// SPDX-License-Identifier: Apache-2.0
#include "model/moe.hpp"

#include <numeric>

namespace m2 {
namespace {

std::vector<int> rank_experts(int layer, const MiniMaxM2Config& config,
                              const std::shared_ptr<ExpertParallel>& parallel) {
  if (parallel) return parallel->placement.experts_of(layer, parallel->group->rank());
  std::vector<int> all(config.num_local_experts);
  std::iota(all.begin(), all.end(), 0);
  return all;
}

std::variant<LocalDispatcher, AllToAllDispatcher> make_dispatcher(int layer, const MoEConfig& moe,
                                                                  const std::shared_ptr<ExpertParallel>& parallel) {
  if (parallel) return AllToAllDispatcher(moe, parallel, layer);
  return LocalDispatcher(moe);
}

}  // namespace

MoE::MoE(int layer_idx, const std::shared_ptr<const ModelConfig>& config,
         const std::shared_ptr<ExpertParallel>& parallel)
    : gate(config),
      experts(config, rank_experts(layer_idx, config->architecture, parallel)),
      dispatcher_(make_dispatcher(layer_idx, config->moe, parallel)) {}

}  // namespace m2
