// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/hdf5_sink.hpp"

#include <utility>

namespace m2 {
namespace {

std::vector<Hdf5DatasetPlan> plan(const Texts& texts, const std::vector<StoredTensor>& tensors) {
  std::vector<Hdf5DatasetPlan> datasets;
  for (const auto& [file, text] : texts) datasets.push_back(text_plan(std::string(file.dataset), text.size()));
  for (const StoredTensor& tensor : tensors) {
    datasets.push_back(
        {.path = "/model/" + tensor.name, .dtype = tensor.dtype, .shape = tensor.shape, .num_slabs = tensor.num_slabs});
  }
  return datasets;
}

}  // namespace

Hdf5Sink::Hdf5Sink(const std::string& path, const Texts& texts, const std::vector<StoredTensor>& tensors)
    : num_texts_(texts.size()), writer_(path, plan(texts, tensors)) {
  for (std::size_t i = 0; i < texts.size(); ++i) writer_.write_all(i, std::as_bytes(std::span(texts[i].second)));
  for (const StoredTensor& tensor : tensors) hashes_.emplace_back(std::size_t(tensor.num_slabs));
}

void Hdf5Sink::write(std::size_t index, std::uint64_t byte_offset, std::span<const std::byte> bytes) {
  // The system lets one thread at a time write to a file; others burn their time waiting inside it.
  const std::lock_guard lock(one_write_at_a_time_);
  writer_.write(num_texts_ + index, byte_offset, bytes);
}

void Hdf5Sink::set_hash(std::size_t index, std::int64_t slab, std::uint64_t hash) {
  hashes_[index][std::size_t(slab)] = hash;
}

void Hdf5Sink::finish() {
  for (std::size_t i = 0; i < hashes_.size(); ++i) writer_.set_hashes(num_texts_ + i, std::move(hashes_[i]));
  writer_.finish();
}

}  // namespace m2
