// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/pending_folder.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <system_error>
#include <utility>

#include "core/error.hpp"
#include "io/file.hpp"

namespace m2 {
namespace {

namespace fs = std::filesystem;

// "out/" means "out": the temporary name is made from the last part.
fs::path without_trailing_slash(const fs::path& path) {
  return path.has_filename() || !path.has_parent_path() ? path : path.parent_path();
}

bool is_empty_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error) && fs::is_empty(path, error) && !error;
}

}  // namespace

PendingFolder::PendingFolder(fs::path target, fs::path folder)
    : target_(std::move(target)), folder_(std::move(folder)) {}

PendingFolder::PendingFolder(const std::string& path)
    : target_(without_trailing_slash(path)), folder_(fmt::format("{}.{}.tmp", target_.string(), ::getpid())) {
  M2_REQUIRE(!fs::exists(target_) || is_empty_folder(target_),
             "'{}' exists already and is not an empty folder: choose another name or remove it", target_.string());
  std::error_code error;
  fs::create_directory(folder_, error);
  M2_REQUIRE(!error, "cannot create the folder '{}': {}", folder_.string(), error.message());
}

PendingFolder::~PendingFolder() {
  std::error_code ignored;  // there is nobody to tell
  if (pending_) fs::remove_all(folder_, ignored);
}

void PendingFolder::publish() {
  File(folder_.string(), File::Mode::read).sync();
  std::error_code error;
  fs::rename(folder_, target_, error);
  M2_REQUIRE(!error, "cannot rename the finished folder to '{}': {}", target_.string(), error.message());
  pending_ = false;
  const fs::path parent = target_.has_parent_path() ? target_.parent_path() : ".";
  File(parent.string(), File::Mode::read).sync();
}

}  // namespace m2
