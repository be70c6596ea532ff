// SPDX-License-Identifier: Apache-2.0
#include "io/path_roles.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "core/error.hpp"

namespace m2 {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxLinks = 40;  // as in Linux

// What a Hugging Face folder is read for: tensors, their index, configurations, the tokenizer and templates.
constexpr std::array<std::string_view, 3> kCheckpointEndings{".safetensors", ".json", ".jinja"};

bool is_checkpoint_file(std::string_view name) {
  return std::ranges::any_of(kCheckpointEndings, [&](std::string_view ending) { return name.ends_with(ending); });
}

bool is_folder(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

// A device, a pipe or a terminal: writing to it overwrites no file.
bool is_stream(const std::string& path) {
  std::error_code ignored;
  return fs::is_other(path, ignored);
}

// Where a link leads to; the path itself if it is none.
fs::path link_target(const fs::path& path) {
  std::error_code error;
  const fs::path target = fs::read_symlink(path, error);
  return error ? path : path.parent_path() / target;
}

bool lies_in(const std::string& path, const FileIdentity& folder) {
  std::error_code error;
  fs::path at = fs::weakly_canonical(path, error);
  if (error) return false;
  while (identify_file(at) != folder) {
    if (at == at.parent_path()) return false;
    at = at.parent_path();
  }
  return true;
}

// Whether `file` is, or would be, one of a checkpoint's files in `folder`.
bool is_file_of(const std::string& folder, const FileIdentity& file) {
  if (!file.missing_names.empty()) {
    const FileIdentity parent = identify_file(folder);
    return file.device == parent.device && file.inode == parent.inode && is_checkpoint_file(file.missing_names) &&
           file.missing_names.find('/') == std::string::npos;
  }
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (is_checkpoint_file(entry->path().filename().string()) && identify_file(entry->path()) == file) return true;
  }
  return false;
}

std::string text_of(const PathRole& role) { return fmt::format("{} '{}'", role.key, role.path); }

// Throws for an output and something else, in whatever order.
void require_apart(const PathRole& output, const PathRole& other) {
  if (is_stream(output.path) || is_stream(other.path)) return;
  const FileIdentity written = identify_file(output.path), found = identify_file(other.path);
  const char* const advice =
      other.use == PathUse::read ? "it would be overwritten while it is needed" : "one would overwrite the other";
  const bool shares_folder = output.use == PathUse::add_to_folder && other.use == PathUse::read;
  if (written == found) {
    if (shares_folder && is_folder(output.path)) return;
    raise_usage("{} and {} are the same {}: {}; choose another path for {}", text_of(output), text_of(other),
                is_folder(output.path) ? "folder" : "file", advice, output.key);
  }
  if (output.use == PathUse::write_folder || other.use == PathUse::write_folder) {
    const bool inside = lies_in(output.path, found);
    if (!inside && !lies_in(other.path, written)) return;
    raise_usage("{} lies inside {}; choose a path outside for {}", text_of(inside ? output : other),
                text_of(inside ? other : output), output.key);
  }
  if (!shares_folder && other.use == PathUse::read && is_folder(other.path) && is_file_of(other.path, written)) {
    raise_usage("{} is a file of the checkpoint {}: {}; choose another path for {}", text_of(output), text_of(other),
                advice, output.key);
  }
}

}  // namespace

FileIdentity identify_file(const std::string& path) {
  fs::path at = path;
  fs::path missing;
  for (int num_links = 0;;) {
    struct stat status{};
    if (::stat(at.empty() ? "." : at.c_str(), &status) == 0) {
      return {std::uint64_t(status.st_dev), std::uint64_t(status.st_ino), missing.lexically_normal().string()};
    }
    if (const fs::path target = link_target(at); target != at && ++num_links <= kMaxLinks) {
      at = target;
      continue;
    }
    if (at.empty() || at == at.root_path()) return {.missing_names = (at / missing).lexically_normal().string()};
    if (at.has_filename()) missing = missing.empty() ? at.filename() : at.filename() / missing;
    at = at.parent_path();
  }
}

void require_separate_paths(std::span<const PathRole> roles) {
  for (std::size_t i = 0; i < roles.size(); ++i) {
    for (std::size_t j = i + 1; j < roles.size(); ++j) {
      const bool writes_first = roles[i].use != PathUse::read;
      if (!writes_first && roles[j].use == PathUse::read) continue;
      require_apart(roles[writes_first ? i : j], roles[writes_first ? j : i]);
    }
  }
}

}  // namespace m2
