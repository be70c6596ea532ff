// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace m2 {

/// Which ranks of an expert group hold which experts, layer by layer. An expert may have replicas on several ranks:
/// token t of a pass of rank r then goes to replica (t + r) % their number, so that passes of one token use all of
/// them. No result depends on it, because all replicas hold the same weights.
class ExpertPlacement {
 public:
  /// Each expert once, in order, as evenly as possible: rank r of N holds experts floor(E r / N) to
  /// floor(E (r + 1) / N) - 1. Throws UsageError unless 1 <= N <= E.
  static ExpertPlacement even(int num_layers, int num_experts, int num_ranks);

  /// `ranks_of[layer][expert]` lists ranks. Throws UsageError, which names `source`, layer and expert, for a list that
  /// is empty or names a rank twice or one that is not there, for a rank without an expert, and for other extents.
  ExpertPlacement(std::vector<std::vector<std::vector<int>>> ranks_of, int num_layers, int num_experts, int num_ranks,
                  const std::string& source);

  int num_ranks() const { return num_ranks_; }
  const std::vector<std::vector<int>>& ranks_of(int layer) const { return ranks_of_[layer]; }

  /// The experts of a rank, ascending.
  std::vector<int> experts_of(int layer, int rank) const;
  /// How many a rank holds in the layer where it holds most.
  int most_experts(int rank) const { return most_experts_[rank]; }

 private:
  std::vector<std::vector<std::vector<int>>> ranks_of_;
  int num_ranks_;
  std::vector<int> most_experts_;  // of each rank
};

}  // namespace m2
