// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <Kokkos_Core.hpp>
#include <bit>
#include <map>
#include <optional>
#include <sstream>
#include <string>

#include "checkpoint/convert.hpp"
#include "checkpoint/inspect.hpp"
#include "checkpoint/tensor_source.hpp"
#include "comm/session.hpp"
#include "core/byte_size.hpp"
#include "core/error.hpp"
#include "core/stop_signal.hpp"
#include "io/hdf5.hpp"

namespace m2 {
namespace {

constexpr int kDone = 0, kFailed = 1, kUsage = 2, kSignalBase = 128;  // the last plus the signal's number, as in shells

const std::map<std::string, DTypeChoice> kDTypeChoices{{"keep", DTypeChoice::keep},
                                                       {"bfloat16", DTypeChoice::bfloat16},
                                                       {"float32", DTypeChoice::float32},
                                                       {"float8", DTypeChoice::float8}};

struct Arguments {
  std::string a, b;
  std::string dtype = "keep";
  std::string alignment = "1MiB";
  std::string max_shard_size = "5GB";
  bool list_tensors = false;
};

std::uint64_t parse_alignment(const std::string& text) {
  const std::uint64_t bytes = parse_byte_size(text, "--alignment");
  if (std::has_single_bit(bytes) && bytes >= kMinAlignmentBytes && bytes <= kMaxAlignmentBytes) return bytes;
  throw UsageError(
      fmt::format("--alignment is {}, {} bytes; expected a power of two from 4KiB to 1GiB, such as 4MiB", text, bytes));
}

// Only rank 0 speaks.
int report(const Communicator& world, const ConvertResult& result, const std::string& path) {
  if (world.rank() != 0) return kDone;
  for (const std::string& line : result.non_finite) fmt::print(stderr, "m2-convert: warning: {}\n", line);
  fmt::print("{}: {} in {:.1f} s, {}/s\n", path, byte_size_text(result.bytes), result.seconds,
             byte_size_text(std::uint64_t(double(result.bytes) / result.seconds)));
  return kDone;
}

int run_import(Communicator& world, const Arguments& arguments) {
  const std::uint64_t alignment_bytes = parse_alignment(arguments.alignment);
  const auto source = TensorSource::open(arguments.a, &world);
  return report(world,
                import_checkpoint(*source, arguments.b, kDTypeChoices.at(arguments.dtype), &world, alignment_bytes),
                arguments.b);
}

int run_export(Communicator& world, const Arguments& arguments) {
  const std::uint64_t max_bytes = parse_byte_size(arguments.max_shard_size, "--max-shard-size");
  const auto source = TensorSource::open(arguments.a, &world);
  return report(world, export_checkpoint(*source, arguments.b, kDTypeChoices.at(arguments.dtype), max_bytes, &world),
                arguments.b);
}

int run_info(Communicator& world, const Arguments& arguments) {
  if (world.rank() == 0) fmt::print("{}", info_text(*TensorSource::open(arguments.a), arguments.list_tensors));
  return kDone;
}

int run_verify(Communicator& world, const Arguments& arguments) {
  const VerifyResult result = verify_checkpoint(*TensorSource::open(arguments.a, &world), &world);
  if (world.rank() != 0) return kDone;
  for (const std::string& defect : result.defects) fmt::print("defect: {}\n", defect);
  fmt::print("{}: {} read, {} hashes compared, {} {}\n", arguments.a, byte_size_text(result.bytes), result.num_slabs,
             result.defects.size(), result.defects.size() == 1 ? "defect" : "defects");
  return result.defects.empty() ? kDone : kFailed;
}

int run_diff(Communicator& world, const Arguments& arguments) {
  if (world.rank() != 0) return kDone;
  const DiffResult result = diff_checkpoints(*TensorSource::open(arguments.a), *TensorSource::open(arguments.b));
  for (const std::string& difference : result.differences) fmt::print("{}\n", difference);
  fmt::print("{} tensors are equal bit by bit, {} {}\n", result.num_equal, result.differences.size(),
             result.differences.size() == 1 ? "difference" : "differences");
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
      ->check(CLI::IsMember({"keep", "bfloat16", "float32"}))
      ->capture_default_str();
  import_->add_option("--alignment", arguments.alignment, "datasets of this size or more begin at a multiple of it")
      ->capture_default_str();

  CLI::App* export_ = add_command(app, "export", "HDF5 checkpoint -> Hugging Face folder", run_export, run);
  export_->add_option("IN.h5", arguments.a, any)->required();
  export_->add_option("HF_DIR", arguments.b, "must not exist or be empty")->required();
  const std::string dtypes =
      "keep: every bit as it is; bfloat16: all but the router, FP8 expanded; float8: attention projections and experts "
      "become e4m3fn blocks of 128 x 128 with scales";
  export_->add_option("--dtype", arguments.dtype, dtypes)
      ->check(CLI::IsMember({"keep", "bfloat16", "float8"}))
      ->capture_default_str();
  export_->add_option("--max-shard-size", arguments.max_shard_size, "of each file: 500MB, 2GiB, ...")
      ->capture_default_str();

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
      "Checkpoints of MiniMax-M2 models. import, export and verify share their work among the ranks of mpirun or "
      "srun.\n"
      "Exit codes: 0 done, 1 failed, 2 wrong usage, 128 + n stopped by signal n.",
      "m2-convert");
  app.require_subcommand(1);
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return fmt::format("m2-convert: error: {}\nm2-convert --help says more.\n", error.what());
  });
  add_commands(app, arguments, run);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream nowhere;
    const int code = speaks ? app.exit(error) : app.exit(error, nowhere, nowhere);
    return code == 0 ? kDone : kUsage;
  }
  return std::nullopt;
}

int run_program(int argc, char** argv, Session& session) {
  Arguments arguments;
  Run run = nullptr;
  if (const auto code = parse(argc, argv, session.rank() == 0, arguments, run)) return *code;
  install_stop_handler();
  // No advice from Kokkos about binding threads: this program moves files.
  const Kokkos::ScopeGuard kokkos(Kokkos::InitializationSettings().set_disable_warnings(true));
  return run(session.world(), arguments);
}

}  // namespace
}  // namespace m2

int main(int argc, char** argv) {
  try {
    m2::Session session;
    try {
      return m2::run_program(argc, argv, session);
    } catch (const m2::Interrupted& stop) {
      session.fail(m2::kSignalBase + stop.signal(),
                   fmt::format("m2-convert: {}; unfinished files were removed", stop.what()));
    } catch (const m2::UsageError& error) {
      session.fail(m2::kUsage, fmt::format("m2-convert: error: {}", error.what()));
    } catch (const std::exception& error) {
      session.fail(m2::kFailed, fmt::format("m2-convert: error: {}", error.what()));
    }
  } catch (const std::exception& error) {  // of the session itself
    fmt::print(stderr, "m2-convert: error: {}\n", error.what());
    return m2::kUsage;
  }
}
