// SPDX-License-Identifier: Apache-2.0
#include "train/checkpoint/checkpoint_folder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <regex>
#include <system_error>

#include "checkpoint/background_tasks.hpp"
#include "core/error.hpp"
#include "core/stop_signal.hpp"
#include "io/file.hpp"
#include "train/checkpoint/read_back.hpp"

namespace m2 {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxStepDigits = 18;  // of any int64

std::string file_name(std::int64_t step) { return fmt::format("step-{}.h5", step); }

// 20 for "step-20.h5".
std::optional<std::int64_t> step_of(const std::string& name) {
  static const std::regex kStep("step-(0|[1-9][0-9]*)\\.h5");
  std::smatch match;
  if (!std::regex_match(name, match, kStep) || match.length(1) > std::int64_t(kMaxStepDigits)) return std::nullopt;
  return std::stoll(match[1]);
}

// What PendingFile and replace_link_atomically() write first.
bool is_temporary(const std::string& name) {
  static const std::regex kTemporary("(step-[0-9]+\\.h5|latest|best)\\.[0-9]+\\.tmp");
  return std::regex_match(name, kTemporary);
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    names.push_back(entry.path().filename().string());
  }
  M2_REQUIRE(!error || error == std::errc::no_such_file_or_directory, "cannot list the folder '{}': {}", folder,
             error.message());
  return names;
}

void remove_file(const std::string& path) {
  std::error_code error;
  fs::remove(path, error);
  M2_REQUIRE(!error, "cannot remove '{}': {}", path, error.message());
}

// Why a file cannot be used; nothing if it can.
std::optional<std::string> defect_of(const std::string& path) {
  try {
    read_back(path, num_io_threads(), throw_if_stop_requested);
  } catch (const Interrupted&) {
    throw;
  } catch (const Error& error) {
    return error.what();
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> CheckpointFolder::prepare() const {
  std::error_code error;
  fs::create_directories(path_, error);
  M2_REQUIRE(!error, "cannot create the folder '{}': {}", path_, error.message());
  std::vector<std::string> names = names_in(path_);
  std::erase_if(names, [](const std::string& name) { return !is_temporary(name); });
  for (const std::string& name : names) remove_file((fs::path(path_) / name).string());
  return names;
}

std::string CheckpointFolder::file(std::int64_t step) const { return (fs::path(path_) / file_name(step)).string(); }

std::string CheckpointFolder::link_path(CheckpointLink link) const { return (fs::path(path_) / name(link)).string(); }

std::vector<std::int64_t> CheckpointFolder::steps() const {
  std::vector<std::int64_t> steps;
  for (const std::string& name : names_in(path_)) {
    if (const auto step = step_of(name)) steps.push_back(*step);
  }
  std::ranges::sort(steps);
  return steps;
}

void CheckpointFolder::link(CheckpointLink link, std::int64_t step) const {
  M2_REQUIRE(fs::exists(file(step)), "'{}' cannot name '{}', which is not there", link_path(link), file(step));
  replace_link_atomically(link_path(link), file_name(step));
}

std::optional<std::int64_t> CheckpointFolder::linked_step(CheckpointLink link) const {
  std::error_code error;
  const fs::path target = fs::read_symlink(link_path(link), error);
  if (error) return std::nullopt;
  const std::optional<std::int64_t> step = step_of(target.filename().string());
  M2_REQUIRE(step.has_value(), "the link '{}' names '{}', expected a step-<N>.h5 beside it: make it anew or remove it",
             link_path(link), target.string());
  return step;
}

std::vector<std::string> CheckpointFolder::prune(int keep) const {
  M2_REQUIRE(keep >= 1, "{} checkpoints cannot be kept; expected 1 or more", keep);
  std::vector<std::int64_t> oldest = steps();
  oldest.resize(oldest.size() - std::min(oldest.size(), std::size_t(keep)));
  const auto latest = linked_step(CheckpointLink::latest), best = linked_step(CheckpointLink::best);
  std::vector<std::string> removed;
  for (const std::int64_t step : oldest) {
    if (step == latest || step == best) continue;
    removed.push_back(file(step));
    remove_file(removed.back());
  }
  return removed;
}

std::optional<FoundCheckpoint> CheckpointFolder::find_latest() const {
  std::vector<std::int64_t> candidates = steps();
  if (const auto latest = linked_step(CheckpointLink::latest)) {
    std::erase_if(candidates, [&](std::int64_t step) { return step >= *latest; });
    candidates.push_back(*latest);  // there or not
  }
  if (candidates.empty()) return std::nullopt;
  std::string defects;
  for (auto step = candidates.rbegin(); step != candidates.rend(); ++step) {
    const std::optional<std::string> defect = defect_of(file(*step));
    if (!defect && defects.empty()) return FoundCheckpoint{file(*step), ""};
    if (!defect) return FoundCheckpoint{file(*step), fmt::format("{}\n  '{}' is used instead", defects, file(*step))};
    defects += (defects.empty() ? "" : "\n  ") + *defect;
  }
  raise("no checkpoint of '{}' can be used:\n  {}\n  remove them to begin anew", path_, defects);
}

}  // namespace m2
