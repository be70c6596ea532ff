// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/mpi/mpi_pieces.hpp"

namespace m2 {

/// What reductions on the host need to know of a communicator.
struct MpiGroup {
  MPI_Comm comm;
  int rank, size;
  std::int64_t piece_bytes;
};

/// The reductions of Communicator for arrays that MPI reaches. Float reductions of a fixed order send each rank its
/// block of everybody's `in`, which it reduces by rank_tree.hpp, and gather the blocks: twice the array per rank
/// crosses the network, in scratch memory of at most 16 MiB.
void mpi_reduce(const MpiGroup& group, DType dtype, const void* in, void* out, std::int64_t count, Reduction reduction,
                SumOrder order);
void mpi_sum_blocks(const MpiGroup& group, DType dtype, const void* in, void* out, std::int64_t count, SumOrder order);

}  // namespace m2
