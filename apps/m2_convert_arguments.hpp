// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace m2 {

enum class ConvertCommand { import_, export_, info, verify, diff, tokenize, merge };

/// The command line of m2-convert.
struct ConvertArguments {
  ConvertCommand command = ConvertCommand::info;
  std::string source;  ///< the checkpoint that is read; of tokenize, the training data
  std::string target;  ///< what import, export, tokenize and merge write
  std::string other;   ///< the second checkpoint of diff, the adapter of merge
  std::string dtype = "keep";
  std::string alignment = "1MiB";
  std::string max_shard_size = "5GB";
  bool list_tensors = false;
  // Of tokenize: the keys of the same names of a deck's `data` section.
  std::string model;  ///< the checkpoint whose tokenizer and chat template are used
  std::string train_on = "all";
  bool train_on_thinking = true;
  std::string history_thinking = "template";
  std::string on_bad_line = "error";
  std::vector<std::string> columns;
};

/// Returns an exit code for what ends here: --help and bad arguments. Prints if it `speaks`.
std::optional<int> parse_arguments(int argc, char** argv, bool speaks, ConvertArguments& arguments);

}  // namespace m2
