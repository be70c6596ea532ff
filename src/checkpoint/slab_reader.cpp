// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/slab_reader.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "core/stop_signal.hpp"

namespace m2 {

SlabReader::SlabReader(const TensorSource& source, const StoredTensor& tensor, std::int64_t slab, ReadWatch watch,
                       std::size_t chunk_bytes, std::uint64_t fetch_ahead_bytes)
    : source_(source),
      tensor_(tensor),
      slab_(slab),
      watch_(watch),
      chunk_bytes_(chunk_bytes),
      fetch_ahead_bytes_(fetch_ahead_bytes),
      position_(std::uint64_t(slab) * tensor.slab_bytes()),
      end_(position_ + tensor.slab_bytes()),
      fetched_(position_) {}

void SlabReader::read(std::span<std::byte> out) {
  const std::uint64_t part_bytes = std::uint64_t(tensor_.num_part_values()) * size_bytes(tensor_.dtype);
  while (!out.empty()) {
    throw_if_stop_requested();
    fetch_ahead();
    const std::uint64_t part_left_bytes = part_bytes - position_ % part_bytes;
    const std::span<std::byte> chunk = out.first(std::min({out.size(), chunk_bytes_, std::size_t(part_left_bytes)}));
    source_.read(tensor_, position_, chunk);
    hash_.update(chunk);
    if (watch_.non_finite != nullptr) watch_.non_finite->scan(tensor_, position_, chunk);
    if (watch_.progress != nullptr) watch_.progress->add(std::int64_t(chunk.size()));
    position_ += chunk.size();
    out = out.subspan(chunk.size());
  }
}

// Keeps half of fetch_ahead_bytes_ under way at least.
void SlabReader::fetch_ahead() {
  if (fetch_ahead_bytes_ == 0 || fetched_ == end_ || position_ + fetch_ahead_bytes_ / 2 < fetched_) return;
  const std::uint64_t next = std::min(end_, position_ + fetch_ahead_bytes_);
  source_.fetch(tensor_, fetched_, next - fetched_, Fetch::start);
  fetched_ = next;
}

std::uint64_t SlabReader::finish() const {
  const std::uint64_t found = hash_.digest();
  if (tensor_.slab_hashes.empty()) return found;
  const std::uint64_t expected = tensor_.slab_hashes[std::size_t(slab_)];
  M2_REQUIRE(found == expected,
             "'{}': {} slab {} of {} was altered: its hash is {:016x}, expected {:016x}: copy or import the file again",
             source_.path(), tensor_.name, slab_, tensor_.num_slabs(), found, expected);
  return found;
}

}  // namespace m2
