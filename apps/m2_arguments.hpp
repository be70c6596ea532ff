// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace m2 {

/// The command line of m2: exactly one of deck, print_deck and expert_load is set.
struct M2Arguments {
  std::string deck;
  std::vector<std::string> overrides;
  bool check = false;
  int num_shown = 0;        ///< of --show
  std::string print_deck;   ///< a job
  std::string expert_load;  ///< of --make-placement
  int num_ranks = 0, num_replicas = 0;
};

/// Returns an exit code for what ends here: --help, --version and bad arguments. Prints if it `speaks`.
std::optional<int> parse_arguments(int argc, char** argv, bool speaks, M2Arguments& arguments);

}  // namespace m2
