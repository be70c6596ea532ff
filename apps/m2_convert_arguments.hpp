// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

namespace m2 {

enum class ConvertCommand { import_, export_, info, verify, diff };

/// The command line of m2-convert.
struct ConvertArguments {
  ConvertCommand command = ConvertCommand::info;
  std::string source;  ///< the checkpoint that is read
  std::string target;  ///< what import and export write
  std::string other;   ///< the second checkpoint of diff
  std::string dtype = "keep";
  std::string alignment = "1MiB";
  std::string max_shard_size = "5GB";
  bool list_tensors = false;
};

/// Returns an exit code for what ends here: --help and bad arguments. Prints if it `speaks`.
std::optional<int> parse_arguments(int argc, char** argv, bool speaks, ConvertArguments& arguments);

}  // namespace m2
