// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/hdf5.hpp"

namespace m2 {

/// What KokkosM2 asks of libhdf5; bytes of datasets never pass through it. Each call opens and closes the file.

/// Creates the datasets, with room for their hashes, and sets their offsets in the file. The user block must be a
/// multiple of the alignment.
void create_hdf5(const std::string& path, std::uint64_t user_block_bytes, std::uint64_t alignment_bytes,
                 std::vector<Hdf5Dataset>& datasets);

/// Fills in the hashes.
void store_hashes(const std::string& path, const std::vector<Hdf5Dataset>& datasets);

/// Every dataset of the file, in no order. Throws Error unless each is one that create_hdf5 could have made.
std::vector<Hdf5Dataset> read_hdf5(const std::string& path, std::uint64_t user_block_bytes);

}  // namespace m2
