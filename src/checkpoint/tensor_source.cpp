// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/tensor_source.hpp"

#include <utility>

namespace m2 {

TensorSource::TensorSource(std::string path, MiniMaxM2Config config)
    : path_(std::move(path)), config_(std::move(config)) {}

void TensorSource::set_tensors(std::vector<StoredTensor> tensors) {
  tensors_ = std::move(tensors);
  for (std::size_t i = 0; i < tensors_.size(); ++i) index_.emplace(tensors_[i].name, i);
}

const StoredTensor* TensorSource::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

const StoredTensor* TensorSource::scales(const StoredTensor& weight) const {
  return weight.dtype == DType::float8_e4m3fn ? find(weight.name + "_scale_inv") : nullptr;
}

std::optional<std::string> TensorSource::text(const TextFile&) const { return std::nullopt; }

void TensorSource::fetch(const StoredTensor&, std::uint64_t, std::uint64_t, Fetch) const {}

std::uint64_t TensorSource::disk_position(const StoredTensor&, std::uint64_t) const { return 0; }

std::vector<FileEntry> TensorSource::entries() const { return {}; }

}  // namespace m2
