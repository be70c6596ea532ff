// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace m2 {

/// A folder that appears under its name only when it is complete: it is filled as "<path>.<process id>.tmp", and
/// publish() renames it. Without publish(), the destructor removes it with all it holds.
class PendingFolder {
 public:
  /// Throws Error if there is something at `path` other than an empty folder.
  explicit PendingFolder(const std::string& path);
  ~PendingFolder();
  PendingFolder(const PendingFolder&) = delete;
  PendingFolder& operator=(const PendingFolder&) = delete;

  /// The folder that another process fills under this temporary name. Without leave(), the destructor removes it.
  static PendingFolder join(const std::string& pending_path) { return PendingFolder(pending_path, pending_path); }
  void leave() { pending_ = false; }

  std::string pending_path() const { return folder_.string(); }
  std::string path_of(std::string_view file_name) const { return (folder_ / file_name).string(); }
  void publish();

 private:
  PendingFolder(std::filesystem::path target, std::filesystem::path folder);

  std::filesystem::path target_;
  std::filesystem::path folder_;
  bool pending_ = true;
};

}  // namespace m2
