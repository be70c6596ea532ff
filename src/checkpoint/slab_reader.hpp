// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "checkpoint/non_finite.hpp"
#include "checkpoint/tensor_source.hpp"
#include "core/progress.hpp"
#include "io/hash.hpp"

namespace m2 {

/// Bytes to move at a time: each piece is hashed and searched for infinities while it is still in the processor's
/// cache. Pieces of 1 MiB make Linux take fresh memory for each file it caches: on a virtual machine that had not
/// touched all of its memory yet, 2 GB then took 6 s instead of 2.7 s.
inline constexpr std::size_t kChunkBytes = std::size_t{1} << 16;

/// How far a reader lets the system fetch ahead of it, within its slab.
inline constexpr std::uint64_t kFetchAheadBytes = std::uint64_t{16} << 20;

/// What watches the bytes while they pass by; both may be absent.
struct ReadWatch {
  Progress* progress = nullptr;
  NonFiniteReport* non_finite = nullptr;
};

/// Reads one slab of a tensor from its first byte to its last.
class SlabReader {
 public:
  /// `chunk_bytes`: at most so much is read at a time. `fetch_ahead_bytes`: 0 where FetchAhead does it for many
  /// readers.
  SlabReader(const TensorSource& source, const StoredTensor& tensor, std::int64_t slab, ReadWatch watch,
             std::size_t chunk_bytes = kChunkBytes, std::uint64_t fetch_ahead_bytes = kFetchAheadBytes);

  std::uint64_t remaining_bytes() const { return end_ - position_; }

  /// Copies the next out.size() bytes. Throws Interrupted when a stop signal came.
  void read(std::span<std::byte> out);

  /// The hash of the whole slab, which must have been read. Throws Error if the source has stored another one.
  std::uint64_t finish() const;

 private:
  void fetch_ahead();

  const TensorSource& source_;
  const StoredTensor& tensor_;
  std::int64_t slab_;
  ReadWatch watch_;
  std::size_t chunk_bytes_;
  std::uint64_t fetch_ahead_bytes_;
  std::uint64_t position_;  // within the tensor
  std::uint64_t end_;
  std::uint64_t fetched_;  // what the system was told to fetch ends here
  Hash64 hash_;
};

}  // namespace m2
