// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "io/temporary_folder.hpp"

namespace m2::test {

/// The bytes of each file below a folder, under its path; a folder has none.
inline std::map<std::string, std::string> contents_of(const std::string& folder) {
  std::map<std::string, std::string> contents;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    contents[entry.path().string()] = entry.is_regular_file() ? read_bytes(entry.path().string()) : "";
  }
  return contents;
}

}  // namespace m2::test
