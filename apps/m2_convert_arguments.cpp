// SPDX-License-Identifier: Apache-2.0
#include "m2_convert_arguments.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "run_on_ranks.hpp"

namespace m2 {
namespace {

CLI::App* add_command(CLI::App& app, const char* name, const char* description, ConvertCommand command,
                      ConvertArguments& arguments) {
  CLI::App* subcommand = app.add_subcommand(name, description);
  subcommand->callback([&arguments, command] { arguments.command = command; });
  return subcommand;
}

void add_commands(CLI::App& app, ConvertArguments& arguments) {
  const std::string any = "an HDF5 checkpoint, or a Hugging Face folder";
  CLI::App* import_ =
      add_command(app, "import", "Hugging Face folder -> one HDF5 checkpoint", ConvertCommand::import_, arguments);
  import_->add_option("HF_DIR", arguments.source, "folder with config.json and *.safetensors")->required();
  import_->add_option("OUT.h5", arguments.target, "replaced, when complete, if it exists")->required();
  import_->add_option("--dtype", arguments.dtype, "keep: every bit as it is; others: all but the router, FP8 expanded")
      ->check(CLI::IsMember({"keep", "bfloat16", "float32"}));
  import_->add_option("--alignment", arguments.alignment, "datasets of this size or more begin at a multiple of it");

  CLI::App* export_ =
      add_command(app, "export", "HDF5 checkpoint -> Hugging Face folder", ConvertCommand::export_, arguments);
  export_->add_option("IN.h5", arguments.source, any)->required();
  export_->add_option("HF_DIR", arguments.target, "must not exist or be empty")->required();
  const std::string dtypes =
      "keep: every bit as it is; bfloat16: all but the router, FP8 expanded; float8: attention projections and experts "
      "become e4m3fn blocks of 128 x 128 with scales";
  export_->add_option("--dtype", arguments.dtype, dtypes)->check(CLI::IsMember({"keep", "bfloat16", "float8"}));
  export_->add_option("--max-shard-size", arguments.max_shard_size, "of each file: 500MB, 2GiB, ...");

  CLI::App* info = add_command(app, "info", "what a checkpoint is", ConvertCommand::info, arguments);
  info->add_option("PATH", arguments.source, any)->required();
  info->add_flag("--tensors", arguments.list_tensors, "also list where each tensor is: file, offset, dtype, shape");

  CLI::App* verify =
      add_command(app, "verify", "hashes, shapes, dtypes, finite values; exit code 1 if there is a defect",
                  ConvertCommand::verify, arguments);
  verify->add_option("PATH", arguments.source, any)->required();

  CLI::App* diff = add_command(app, "diff", "tensor by tensor; exit code 1 if there is a difference",
                               ConvertCommand::diff, arguments);
  diff->add_option("A", arguments.source, any)->required();
  diff->add_option("B", arguments.other, any)->required();
}

void add_tokenize(CLI::App& app, ConvertArguments& arguments) {
  CLI::App* tokenize =
      add_command(app, "tokenize",
                  "training data (JSON Lines) -> one HDF5 file of tokens and labels, which data.file of a deck takes",
                  ConvertCommand::tokenize, arguments);
  tokenize->add_option("DATA.jsonl", arguments.source, "one sample a line: text, messages, prompt and completion, ...")
      ->required();
  tokenize->add_option("OUT.h5", arguments.target, "replaced, when complete, if it exists")->required();
  tokenize
      ->add_option("--model", arguments.model,
                   "checkpoint whose tokenizer, chat template and end token are used: an HDF5 file or a folder")
      ->required();
  tokenize->add_option("--train-on", arguments.train_on, "which answers of a conversation carry loss")
      ->check(CLI::IsMember({"all", "last"}));
  tokenize->add_option("--train-on-thinking", arguments.train_on_thinking, "whether their thoughts do");
  tokenize
      ->add_option("--history-thinking", arguments.history_thinking,
                   "template: without the thoughts of earlier turns, as in inference; expand: a sample for each turn")
      ->check(CLI::IsMember({"template", "expand"}));
  tokenize->add_option("--on-bad-line", arguments.on_bad_line, "skip: bad lines are left out and counted")
      ->check(CLI::IsMember({"error", "skip"}));
  tokenize->add_option("--columns", arguments.columns,
                       "OURS=THEIRS: the file's names of keys, as in completion=answer");
}

void add_merge(CLI::App& app, ConvertArguments& arguments) {
  CLI::App* merge = add_command(app, "merge", "folds a PEFT adapter into the weights; compares logits before it writes",
                                ConvertCommand::merge, arguments);
  merge->add_option("BASE", arguments.source, "an HDF5 checkpoint, or a Hugging Face folder")->required();
  merge->add_option("ADAPTER", arguments.other, "folder with adapter_config.json and adapter_model.safetensors")
      ->required();
  merge->add_option("OUT", arguments.target, "OUT.h5: an HDF5 checkpoint; else a Hugging Face folder")->required();
}

}  // namespace

std::optional<int> parse_arguments(int argc, char** argv, bool speaks, ConvertArguments& arguments) {
  CLI::App app(
      "Checkpoints of MiniMax-M2 models, and tokens to train them with. import, export and verify share their work "
      "among ranks (mpirun, srun).\n"
      "Exit codes: 0 done, 1 failed, 2 wrong usage, 128 + n stopped by signal n.",
      "m2-convert");
  app.require_subcommand(1);
  app.option_defaults()->always_capture_default();
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return fmt::format("m2-convert: error: {}\nm2-convert --help says more.\n", error.what());
  });
  add_commands(app, arguments);
  add_tokenize(app, arguments);
  add_merge(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (speaks) app.exit(error);
    return error.get_exit_code() == 0 ? kDone : kBadUsage;
  }
  return std::nullopt;
}

}  // namespace m2
