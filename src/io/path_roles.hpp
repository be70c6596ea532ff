// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace m2 {

/// What a program does with a path it is given.
enum class PathUse {
  read,          ///< a file, or a Hugging Face folder: then all that a checkpoint can have in it
  write,         ///< a file
  write_folder,  ///< a folder that the program makes
  add_to_folder  ///< a folder, made if it is missing, that gets files whose names nothing else has
};

/// One path, and the name under which it is given: "output.file", "OUT.h5".
struct PathRole {
  std::string key;
  std::string path;
  PathUse use;
};

/// What a path leads to, however it is spelled: the same for links, hard links, "./" and bind mounts. Of a file that
/// does not exist, the nearest folder above it that does, and the names from there on.
struct FileIdentity {
  std::uint64_t device = 0, inode = 0;
  std::string missing_names;  ///< "new/out.jsonl"; empty if it exists
  bool operator==(const FileIdentity&) const = default;
};

/// Never fails: what cannot be inspected counts as missing.
FileIdentity identify_file(const std::string& path);

/// Throws UsageError, which names both keys and both paths, if a file that is written is also read, or is written under
/// another key, if a file is written in place of one of a Hugging Face folder that is read, or if a folder that is
/// made lies inside or around something else. What is read may be the folder that files are added to, and both reads
/// and writes may lie in it. Devices and pipes may be given several times. Opens nothing.
void require_separate_paths(std::span<const PathRole> roles);

}  // namespace m2
