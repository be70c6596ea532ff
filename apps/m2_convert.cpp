// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <Kokkos_Core.hpp>
#include <optional>
#include <string>

#include "checkpoint/convert/convert.hpp"
#include "checkpoint/formats/open_checkpoint.hpp"
#include "checkpoint/inspect/diff.hpp"
#include "checkpoint/inspect/info.hpp"
#include "checkpoint/inspect/verify.hpp"
#include "core/byte_size.hpp"
#include "core/stop_signal.hpp"
#include "run_on_ranks.hpp"

namespace m2 {
namespace {

struct Arguments {
  std::string a, b;
  std::string dtype = "keep";
  std::string alignment = "1MiB";
  std::string max_shard_size = "5GB";
  bool list_tensors = false;
};

int report(const Communicator& world, const ConvertResult& result, const std::string& path) {
  if (world.rank() != 0) return kDone;  // only rank 0 speaks
  for (const std::string& line : result.non_finite) fmt::print(stderr, "m2-convert: warning: {}\n", line);
  fmt::print("{}: {} in {:.1f} s, {}/s\n", path, byte_size_text(result.bytes), result.seconds,
             byte_size_text(std::uint64_t(double(result.bytes) / result.seconds)));
  return kDone;
}

int run_import(Communicator& world, const Arguments& arguments) {
  const std::uint64_t alignment_bytes = parse_alignment(arguments.alignment);
  const auto source = open_checkpoint(arguments.a, &world);
  return report(
      world, import_checkpoint(*source, arguments.b, parse_enum<DTypeChoice>(arguments.dtype), &world, alignment_bytes),
      arguments.b);
}

int run_export(Communicator& world, const Arguments& arguments) {
  const std::uint64_t max_bytes = parse_byte_size(arguments.max_shard_size, "--max-shard-size");
  const auto source = open_checkpoint(arguments.a, &world);
  return report(world,
                export_checkpoint(*source, arguments.b, parse_enum<DTypeChoice>(arguments.dtype), max_bytes, &world),
                arguments.b);
}

int run_info(Communicator& world, const Arguments& arguments) {
  if (world.rank() == 0) fmt::print("{}", info_text(*open_checkpoint(arguments.a), arguments.list_tensors));
  return kDone;
}

int run_verify(Communicator& world, const Arguments& arguments) {
  const VerifyResult result = verify_checkpoint(*open_checkpoint(arguments.a, &world), &world);
  if (world.rank() != 0) return kDone;
  fmt::print("{}", verify_text(result, arguments.a));
  return result.defects.empty() ? kDone : kFailed;
}

int run_diff(Communicator& world, const Arguments& arguments) {
  if (world.rank() != 0) return kDone;
  const DiffResult result = diff_checkpoints(*open_checkpoint(arguments.a), *open_checkpoint(arguments.b));
  fmt::print("{}", diff_text(result));
  return result.differences.empty() ? kDone : kFailed;
}

using Run = int (*)(Communicator&, const Arguments&);

CLI::App* add_command(CLI::App& app, const char* name, const char* description, Run function, Run& run) {
  CLI::App* command = app.add_subcommand(name, description);
  command->callback([&run, function] { run = function; });
  return command;
}

void add_commands(CLI::App& app, Arguments& arguments, Run& run) {
  const std::string any = "an HDF5 checkpoint, or a Hugging Face folder";
  CLI::App* import_ = add_command(app, "import", "Hugging Face folder -> one HDF5 checkpoint", run_import, run);
  import_->add_option("HF_DIR", arguments.a, "folder with config.json and *.safetensors")->required();
  import_->add_option("OUT.h5", arguments.b, "replaced, when complete, if it exists")->required();
  import_->add_option("--dtype", arguments.dtype, "keep: every bit as it is; others: all but the router, FP8 expanded")
      ->check(CLI::IsMember({"keep", "bfloat16", "float32"}));
  import_->add_option("--alignment", arguments.alignment, "datasets of this size or more begin at a multiple of it");

  CLI::App* export_ = add_command(app, "export", "HDF5 checkpoint -> Hugging Face folder", run_export, run);
  export_->add_option("IN.h5", arguments.a, any)->required();
  export_->add_option("HF_DIR", arguments.b, "must not exist or be empty")->required();
  const std::string dtypes =
      "keep: every bit as it is; bfloat16: all but the router, FP8 expanded; float8: attention projections and experts "
      "become e4m3fn blocks of 128 x 128 with scales";
  export_->add_option("--dtype", arguments.dtype, dtypes)->check(CLI::IsMember({"keep", "bfloat16", "float8"}));
  export_->add_option("--max-shard-size", arguments.max_shard_size, "of each file: 500MB, 2GiB, ...");

  CLI::App* info = add_command(app, "info", "what a checkpoint is", run_info, run);
  info->add_option("PATH", arguments.a, any)->required();
  info->add_flag("--tensors", arguments.list_tensors, "also list where each tensor is: file, offset, dtype, shape");

  CLI::App* verify = add_command(
      app, "verify", "hashes, shapes, dtypes, finite values; exit code 1 if there is a defect", run_verify, run);
  verify->add_option("PATH", arguments.a, any)->required();

  CLI::App* diff = add_command(app, "diff", "tensor by tensor; exit code 1 if there is a difference", run_diff, run);
  diff->add_option("A", arguments.a, any)->required();
  diff->add_option("B", arguments.b, any)->required();
}

// Returns an exit code for what ends here: --help and wrong usage.
std::optional<int> parse(int argc, char** argv, bool speaks, Arguments& arguments, Run& run) {
  CLI::App app(
      "Checkpoints of MiniMax-M2 models. import, export and verify share their work among ranks (mpirun, srun).\n"
      "Exit codes: 0 done, 1 failed, 2 wrong usage, 128 + n stopped by signal n.",
      "m2-convert");
  app.require_subcommand(1);
  app.option_defaults()->always_capture_default();
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return fmt::format("m2-convert: error: {}\nm2-convert --help says more.\n", error.what());
  });
  add_commands(app, arguments, run);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (speaks) app.exit(error);
    return error.get_exit_code() == 0 ? kDone : kBadUsage;
  }
  return std::nullopt;
}

int run_program(int argc, char** argv, Session& session) {
  Arguments arguments;
  Run run = nullptr;
  if (const auto code = parse(argc, argv, session.rank() == 0, arguments, run)) return *code;
  try {
    // No advice from Kokkos about binding threads: this program moves files.
    const Kokkos::ScopeGuard kokkos(Kokkos::InitializationSettings().set_disable_warnings(true));
    return run(session.world(), arguments);
  } catch (const Interrupted& stop) {
    session.fail(kSignalBase + stop.signal(),
                 fmt::format("m2-convert: {}; unfinished files were removed", stop.what()));
  }
}

}  // namespace
}  // namespace m2

int main(int argc, char** argv) {
  return m2::run_on_ranks("m2-convert", [&](m2::Session& session) { return m2::run_program(argc, argv, session); });
}
