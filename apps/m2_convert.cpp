// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <Kokkos_Core.hpp>
#include <array>
#include <optional>
#include <string>

#include "checkpoint/convert/convert.hpp"
#include "checkpoint/convert/merge.hpp"
#include "checkpoint/formats/open_checkpoint.hpp"
#include "checkpoint/inspect/diff.hpp"
#include "checkpoint/inspect/info.hpp"
#include "checkpoint/inspect/verify.hpp"
#include "core/byte_size.hpp"
#include "core/error.hpp"
#include "core/stop_signal.hpp"
#include "core/stopwatch.hpp"
#include "io/path_roles.hpp"
#include "m2_convert_arguments.hpp"
#include "run_on_ranks.hpp"
#include "text/chat_template.hpp"
#include "train/data/document_store.hpp"

namespace m2 {
namespace {

int report(const Communicator& world, const ConvertResult& result, const std::string& path) {
  if (world.rank() != 0) return kDone;  // only rank 0 speaks
  for (const std::string& line : result.non_finite) fmt::print(stderr, "m2-convert: warning: {}\n", line);
  fmt::print("{}: {} in {:.1f} s, {}/s\n", path, byte_size_text(result.bytes), result.seconds,
             byte_size_text(std::uint64_t(double(result.bytes) / result.seconds)));
  return kDone;
}

int run_import(Communicator& world, const ConvertArguments& arguments) {
  const std::uint64_t alignment_bytes = parse_alignment(arguments.alignment);
  // On every rank: the same error of all is said once, and none runs ahead into an error of its own.
  require_separate_paths(std::array{PathRole{"HF_DIR", arguments.source, PathUse::read},
                                    PathRole{"OUT.h5", arguments.target, PathUse::write}});
  const auto source = open_checkpoint(arguments.source, &world);
  const auto dtype = parse_enum<DTypeChoice>(arguments.dtype);
  return report(world, import_checkpoint(*source, arguments.target, dtype, &world, alignment_bytes), arguments.target);
}

int run_export(Communicator& world, const ConvertArguments& arguments) {
  const std::uint64_t max_bytes = parse_byte_size(arguments.max_shard_size, "--max-shard-size");
  require_separate_paths(std::array{PathRole{"IN.h5", arguments.source, PathUse::read},
                                    PathRole{"HF_DIR", arguments.target, PathUse::write_folder}});
  const auto source = open_checkpoint(arguments.source, &world);
  const auto dtype = parse_enum<DTypeChoice>(arguments.dtype);
  return report(world, export_checkpoint(*source, arguments.target, dtype, max_bytes, &world), arguments.target);
}

int run_info(Communicator& world, const ConvertArguments& arguments) {
  if (world.rank() == 0) fmt::print("{}", info_text(*open_checkpoint(arguments.source), arguments.list_tensors));
  return kDone;
}

int run_verify(Communicator& world, const ConvertArguments& arguments) {
  const VerifyResult result = verify_checkpoint(*open_checkpoint(arguments.source, &world), &world);
  if (world.rank() != 0) return kDone;
  fmt::print("{}", verify_text(result, arguments.source));
  return result.defects.empty() ? kDone : kFailed;
}

int run_diff(Communicator& world, const ConvertArguments& arguments) {
  if (world.rank() != 0) return kDone;
  const DiffResult result = diff_checkpoints(*open_checkpoint(arguments.source), *open_checkpoint(arguments.other));
  fmt::print("{}", diff_text(result));
  return result.differences.empty() ? kDone : kFailed;
}

DataSection data_section(const ConvertArguments& arguments) {
  DataSection section;
  section.file = arguments.source;
  section.train_on = parse_enum<TrainOn>(arguments.train_on);
  section.train_on_thinking = arguments.train_on_thinking;
  section.history_thinking = parse_enum<HistoryThinking>(arguments.history_thinking);
  section.on_bad_line = parse_enum<OnBadLine>(arguments.on_bad_line);
  section.columns = arguments.columns;
  return section;
}

int run_tokenize(Communicator& world, const ConvertArguments& arguments) {
  require_separate_paths(std::array{PathRole{"DATA.jsonl", arguments.source, PathUse::read},
                                    PathRole{"--model", arguments.model, PathUse::read},
                                    PathRole{"OUT.h5", arguments.target, PathUse::write}});
  if (world.rank() != 0) return kDone;
  const Stopwatch stopwatch;
  const auto model = open_checkpoint(arguments.model);
  const auto place = [&](const TextFile& file) { return fmt::format("{}: {}", arguments.model, file.file_name); };
  std::optional<Tokenizer> tokenizer;
  if (const auto text = model->text(kTokenizerFile))
    tokenizer.emplace(Tokenizer::from_json(*text, place(kTokenizerFile)));
  GenerationDefaults defaults;
  if (const auto text = model->text(kGenerationConfigFile)) {
    defaults = GenerationDefaults::from_json(*text, place(kGenerationConfigFile));
  }
  const PromptContext prompts{
      .config = model->config(),
      .tokenizer = tokenizer ? &*tokenizer : nullptr,
      .default_system_prompt = default_system_prompt(model->text(kChatTemplateFile).value_or(""))};
  const DataContext context = make_data_context(prompts, defaults);
  const DataSection section = data_section(arguments);
  const DocumentList list = read_json_lines(arguments.source, section, context, stderr);
  if (!list.first_bad_line.empty()) fmt::print(stderr, "m2-convert: warning: left out: {}\n", list.first_bad_line);
  write_token_file(arguments.target, list, section);
  // Read as a training reads it: what cannot be used is noticed here.
  fmt::print("{}, in {:.1f} s\n", DocumentStore(arguments.target, section, context).summary(), stopwatch.seconds());
  return kDone;
}

int run_merge(Communicator& world, const ConvertArguments& arguments) {
  const bool to_file = arguments.target.ends_with(".h5");
  require_separate_paths(
      std::array{PathRole{"BASE", arguments.source, PathUse::read}, PathRole{"ADAPTER", arguments.other, PathUse::read},
                 PathRole{"OUT", arguments.target, to_file ? PathUse::write : PathUse::write_folder}});
  if (world.size() > 1) raise_usage("merge runs on one process, found {} ranks: start it without mpirun", world.size());
  const auto base = open_checkpoint(arguments.source);
  const MergedCheckpoint merged = merge_adapter(*base, arguments.other, ExecSpace());
  fmt::print(
      "probe: logits differ by {:.2g} on average from those of base and adapter; the adapter changes them by "
      "{:.2g}\n",
      merged.probe.mean_difference, merged.probe.mean_change);
  return report(world,
                to_file ? import_checkpoint(*merged.source, arguments.target, DTypeChoice::keep)
                        : export_checkpoint(*merged.source, arguments.target, DTypeChoice::keep, kDefaultShardBytes),
                arguments.target);
}

int run_command(Communicator& world, const ConvertArguments& arguments) {
  switch (arguments.command) {
    case ConvertCommand::import_:
      return run_import(world, arguments);
    case ConvertCommand::export_:
      return run_export(world, arguments);
    case ConvertCommand::info:
      return run_info(world, arguments);
    case ConvertCommand::verify:
      return run_verify(world, arguments);
    case ConvertCommand::diff:
      return run_diff(world, arguments);
    case ConvertCommand::tokenize:
      return run_tokenize(world, arguments);
    case ConvertCommand::merge:
      return run_merge(world, arguments);
  }
  raise("unknown command {}", int(arguments.command));
}

int run_program(int argc, char** argv, Session& session) {
  ConvertArguments arguments;
  if (const auto code = parse_arguments(argc, argv, session.rank() == 0, arguments)) return *code;
  try {
    // No advice from Kokkos about binding threads: this program moves files.
    const Kokkos::ScopeGuard kokkos(Kokkos::InitializationSettings().set_disable_warnings(true));
    return run_command(session.world(), arguments);
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
