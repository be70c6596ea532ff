// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/enum_names.hpp"

namespace m2 {

/// Symbolic links in the folder: to the last save, and to the one with the least validation loss.
enum class CheckpointLink { latest, best };
template <>
inline constexpr std::array<std::string_view, 2> kEnumNames<CheckpointLink>{"latest", "best"};

/// The checkpoint to go on from.
struct FoundCheckpoint {
  std::string path;
  std::string warning;  ///< not empty if `latest` is damaged: which file, why, and which one is taken instead
};

/// The folder with the checkpoints of one run: files step-<N>.h5 and links. A file under such a name is complete;
/// whoever is killed leaves temporary files only. One run at a time uses it; links are made and files removed by one
/// thread at a time.
class CheckpointFolder {
 public:
  /// Touches nothing; the folder may be missing.
  explicit CheckpointFolder(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }

  /// Makes the folder if it is missing and removes the temporary files of a run that was killed, whose names it
  /// returns. To be called when a run begins. Throws Error when the folder cannot be made.
  std::vector<std::string> prepare() const;

  /// "run/step-20.h5"
  std::string file(std::int64_t step) const;
  /// Of the files there are, ascending.
  std::vector<std::int64_t> steps() const;

  /// Lets a link name the file of a step, from one moment to the next. The file must be there.
  void link(CheckpointLink link, std::int64_t step) const;
  /// What a link names; nothing if there is no such link, or a file in its place (some copying programs do that).
  /// Throws Error if it names something other than step-<N>.h5.
  std::optional<std::int64_t> linked_step(CheckpointLink link) const;

  /// Removes the files of the oldest steps but for the last `keep` (at least 1) and those that a link names. Returns
  /// the paths of what it removed. Throws Error when a file cannot be removed.
  std::vector<std::string> prune(int keep) const;

  /// The file that `latest` names, or the last there is if it names none, after every hash in it was compared; if it is
  /// damaged or missing, the next older one that is not. Nothing if there is no file. Throws Error, which says why, if
  /// there are files and none is good; Interrupted when a stop signal came.
  std::optional<FoundCheckpoint> find_latest() const;

 private:
  std::string link_path(CheckpointLink link) const;

  std::string path_;
};

}  // namespace m2
