// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "checkpoint/load/slab_loader.hpp"
#include "comm/communicator.hpp"

namespace m2 {

/// Who reads which of some pieces that all ranks need: the largest first, each for the rank with the least so far. The
/// same on every rank. Element i is the rank for sizes_bytes[i].
std::vector<int> divide_by_bytes(std::span<const std::uint64_t> sizes_bytes, int num_ranks);

/// The order in which pieces that are read in the order of their numbers, by `readers` at the same speed, become ready.
std::vector<std::size_t> order_of_readiness(std::span<const std::uint64_t> sizes_bytes, std::span<const int> readers,
                                            int num_ranks);

/// Slabs that all ranks of `group` hold: one reads each from the file, and the others get it from that rank. On every
/// rank the same slabs, in the order of their bytes on the disk.
struct SharedSlabs {
  Communicator* group = nullptr;
  std::vector<SlabTarget> targets;
  std::vector<int> readers;        ///< the rank that reads each
  std::vector<std::size_t> order;  ///< of the broadcasts

  SharedSlabs(Communicator& ranks, std::vector<SlabTarget> slabs);

  bool is_read_here(std::size_t i) const { return readers[i] == group->rank(); }
  /// Collective: slab i, which its reader has in memory, comes to all others, in pieces that MPI's buffers can hold.
  void broadcast(const ExecSpace& exec, std::size_t i) const;
};

}  // namespace m2
