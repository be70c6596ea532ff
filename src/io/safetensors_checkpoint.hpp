// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/safetensors.hpp"

namespace m2 {

/// The tensors of a Hugging Face folder. model.safetensors.index.json says which file holds which tensor; without it
/// there is one file, model.safetensors. File numbers and the index' total_size are never looked at: in the released
/// MiniMax-M2 files both are wrong.
class SafetensorsCheckpoint {
 public:
  struct Tensor {
    const SafetensorsFile* file = nullptr;
    const TensorEntry* entry = nullptr;
  };

  /// Opens every file. Throws Error, with tensor and file, unless index and files name the same tensors at the same
  /// places.
  explicit SafetensorsCheckpoint(const std::string& folder);

  const std::string& folder() const { return folder_; }
  const std::vector<SafetensorsFile>& files() const { return files_; }

  /// File by file, each in the order of its bytes: the order to read them in.
  const std::vector<Tensor>& tensors() const { return tensors_; }

  /// nullptr if there is none.
  const Tensor* find(std::string_view name) const;

 private:
  std::string folder_;
  std::vector<SafetensorsFile> files_;
  std::vector<Tensor> tensors_;
  std::unordered_map<std::string_view, std::size_t> index_;  // views of the names in files_
};

}  // namespace m2
