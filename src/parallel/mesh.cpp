// SPDX-License-Identifier: Apache-2.0
#include "parallel/mesh.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <vector>

#include "core/byte_size.hpp"
#include "core/error.hpp"
#include "parallel/placement_file.hpp"

namespace m2 {
namespace {

std::vector<int> possible_sizes(int num_ranks, int num_experts) {
  std::vector<int> sizes;
  for (int size = 1; size <= std::min(num_ranks, num_experts); ++size) {
    if (num_ranks % size == 0) sizes.push_back(size);
  }
  return sizes;
}

int group_size(const Deck& deck, const MiniMaxM2Config& config, int num_ranks) {
  const int size = deck.parallel.expert.value_or(num_ranks), num_experts = config.num_local_experts;
  if (num_ranks % size != 0 || size > num_experts) {
    raise_usage(
        "parallel.expert: {}{} ranks cannot share the {} experts of a layer on {} ranks in all; possible are {}",
        deck.parallel.expert ? "" : "not set, so all ", size, num_experts, num_ranks,
        fmt::join(possible_sizes(num_ranks, num_experts), ", "));
  }
  return size;
}

}  // namespace

std::shared_ptr<ExpertParallel> make_expert_parallel(const Deck& deck, const MiniMaxM2Config& config,
                                                     Communicator& world) {
  const int size = group_size(deck, config, world.size());
  if (deck.parallel.placement && size == 1) {
    raise_usage("parallel.placement: every rank holds all experts; a placement needs parallel.expert of 2 or more");
  }
  if (size == 1) return nullptr;
  const int layers = config.num_hidden_layers, experts = config.num_local_experts;
  ExpertPlacement placement = deck.parallel.placement ? read_placement(*deck.parallel.placement, layers, experts, size)
                                                      : ExpertPlacement::even(layers, experts, size);
  // `auto` is off: measured on hosts it gains on a slow network alone (docs/parallel.md, "Overlap"), because MPI moves
  // large messages mostly inside its own calls. With NCCL rows travel on the stream of the experts' kernels, in turn.
  const bool overlap = deck.parallel.overlap == Switch::on;
  return std::make_shared<ExpertParallel>(
      ExpertParallel{.group = world.split(world.rank() / size),
                     .placement = std::move(placement),
                     .tokens_per_exchange = deck.parallel.tokens_per_exchange
                                                ? *deck.parallel.tokens_per_exchange
                                                : default_tokens_per_exchange(deck.batch.max_tokens, size, overlap),
                     .reduce_answers = deck.parallel.combine == CombineMode::reduced,
                     .overlap = overlap});
}

std::string layout_text(const ExpertParallel* parallel, int num_ranks) {
  if (num_ranks == 1) return "1 rank";
  const int size = parallel ? parallel->group->size() : 1;
  return fmt::format("{} x {} ranks (data x expert)", num_ranks / size, size);
}

std::string traffic_text(const ExpertParallel* parallel, Communicator& world) {
  if (!parallel) return "";
  const ExchangeTraffic& own = parallel->traffic;
  const std::array<std::int64_t, 4> values{own.token_layers, own.row_bytes, own.slot_bytes, own.answer_bytes};
  const std::vector<std::int64_t> sum = world.sum_values(values);
  if (sum[0] == 0) return "";
  const auto per_token = [&](int i) { return double(sum[i]) / double(sum[0]); };
  return fmt::format(
      "exchanged between ranks {} to experts and {} back; per token and layer {:.0f} B of rows, {:.0f} B of their "
      "addresses, {:.0f} B of answers",
      byte_size_text(std::uint64_t(sum[1] + sum[2])), byte_size_text(std::uint64_t(sum[3])), per_token(1), per_token(2),
      per_token(3));
}

}  // namespace m2
