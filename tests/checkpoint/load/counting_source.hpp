// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "checkpoint/tensor_source.hpp"

namespace m2::test {

/// Another source, counting how often each byte is read from it.
class CountingSource final : public TensorSource {
 public:
  explicit CountingSource(const TensorSource& inner) : TensorSource(inner.path(), inner.config()), inner_(inner) {
    set_tensors(inner.tensors());
    for (const StoredTensor& tensor : tensors()) counts_[tensor.name].resize(tensor.size_bytes());
  }

  void read(const StoredTensor& tensor, std::uint64_t byte_offset, std::span<std::byte> out) const override {
    inner_.read(*inner_.find(tensor.name), byte_offset, out);
    const std::lock_guard lock(mutex_);
    std::string& counts = counts_.at(tensor.name);
    for (std::size_t i = 0; i < out.size(); ++i) ++counts.at(byte_offset + i);
    largest_read_ = std::max(largest_read_, out.size());
  }
  void fetch(const StoredTensor& tensor, std::uint64_t byte_offset, std::uint64_t size_bytes,
             Fetch how) const override {
    inner_.fetch(*inner_.find(tensor.name), byte_offset, size_bytes, how);
  }
  std::uint64_t disk_position(const StoredTensor& tensor, std::uint64_t byte_offset) const override {
    return inner_.disk_position(*inner_.find(tensor.name), byte_offset);
  }

  /// How often each byte of a tensor was read: one character for each.
  const std::string& counts(const std::string& name) const { return counts_.at(name); }
  std::size_t largest_read() const { return largest_read_; }

 private:
  const TensorSource& inner_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, std::string> counts_;
  mutable std::size_t largest_read_ = 0;
};

}  // namespace m2::test
