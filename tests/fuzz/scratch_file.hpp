// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "io/hdf5.hpp"

namespace m2::fuzz {

/// A file that is removed at the end. It has a name in a folder: libhdf5 opens nothing else.
class ScratchFile {
 public:
  ~ScratchFile() { std::filesystem::remove(path_); }

  void write(std::string_view bytes) const {
    std::ofstream(path_, std::ios::binary).write(bytes.data(), std::streamsize(bytes.size()));
  }

  /// As a checkpoint. Whether everything could be read; false for an m2::Error.
  bool open_and_read() const {
    try {
      const Hdf5Reader reader(path_);
      for (const Hdf5Dataset& dataset : reader.datasets()) {
        std::vector<std::byte> content(dataset.size_bytes);
        reader.read_slabs(dataset, 0, dataset.num_slabs, content);
      }
    } catch (const Error&) {
      return false;
    }
    return true;
  }

  const std::string& path() const { return path_; }

 private:
  std::string path_ = std::filesystem::temp_directory_path() / fmt::format("m2.fuzz.{}.h5", ::getpid());
};

}  // namespace m2::fuzz
