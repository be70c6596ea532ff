// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace m2 {

/// The path of a file in a folder.
inline std::string path_in(const std::string& folder, std::string_view file_name) {
  return (std::filesystem::path(folder) / file_name).string();
}

}  // namespace m2
