// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "io/file.hpp"

namespace m2 {

struct Extent {
  std::uint64_t offset = 0;
  std::uint64_t size_bytes = 0;
};

/// What the user block of a checkpoint file says (docs/checkpoint.md), beside checksums of itself and of every byte
/// outside the data: where the datasets' data lie, in the order of the plan.
struct Manifest {
  std::uint64_t user_block_bytes = 0;
  std::vector<Extent> data;
};

/// The least user block, a power of two of at least `min_bytes`, that holds a table of `num_datasets`. Throws Error if
/// they are too many.
std::uint64_t user_block_size(std::uint64_t num_datasets, std::uint64_t min_bytes);

/// Hashes the finished file outside its data and writes the manifest into the user block.
void write_manifest(const File& file, const Manifest& manifest);

/// Whether the file begins as those with a manifest do; nothing is verified.
bool has_manifest(const File& file);

/// Reads the user block and verifies it and every byte of the file outside the data. Throws Error, which says whether
/// the file is foreign, of another version, truncated or altered.
Manifest read_manifest(const File& file);

}  // namespace m2
