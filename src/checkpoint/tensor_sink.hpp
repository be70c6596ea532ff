// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/tensor_source.hpp"

namespace m2 {

/// A checkpoint that is being written. Its tensors are planned beforehand; nothing is left behind without finish().
/// Functions may be called from many threads at once, for one tensor from one thread for each slab. Several ranks can
/// write one: the sinks of the others are made from the creator's invitation(), and end with leave().
class TensorSink {
 public:
  virtual ~TensorSink() = default;

  /// Writes a piece of the tensor that was planned at `index`, from `byte_offset` within it.
  virtual void write(std::size_t index, std::uint64_t byte_offset, std::span<const std::byte> bytes) = 0;
  /// The hash of a slab that was written.
  virtual void set_hash(std::size_t index, std::int64_t slab, std::uint64_t hash) = 0;
  /// Flushes everything to disk and gives it its name. Only for the creator.
  virtual void finish() = 0;

  virtual std::string invitation() const = 0;
  /// Flushes what this rank wrote. The report, of hashes and counts, is for the creator.
  virtual std::string leave() = 0;
  virtual void add_report(const std::string& report) = 0;
};

/// The files that travel along, with their texts.
using Texts = std::vector<std::pair<TextFile, std::string>>;

}  // namespace m2
