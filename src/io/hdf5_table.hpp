// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/hdf5.hpp"

namespace m2 {

/// What one process knows of a checkpoint file and tells the others, so that libhdf5 is asked once.
struct Hdf5Table {
  std::string path;
  std::uint64_t file_size_bytes = 0;
  std::vector<Hdf5Dataset> datasets;  ///< in the order of the plan
};

/// As text, for processes of the same program: what comes from elsewhere must not be given to parse_table().
std::string table_text(const Hdf5Table& table);
Hdf5Table parse_table(std::string_view text);

}  // namespace m2
