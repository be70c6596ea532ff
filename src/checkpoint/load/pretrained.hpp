// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "checkpoint/tensor_source.hpp"
#include "comm/communicator.hpp"
#include "core/views.hpp"
#include "model/parameter.hpp"

namespace m2 {

/// How bytes come from the file system into several ranks (docs/io.md).
struct LoadOptions {
  Communicator* world = nullptr;  ///< the ranks that load at the same time; none: this process alone
  /// What several ranks hold is read by one of them and broadcast. Not set: where the ranks are on several hosts,
  /// because on one the page cache does the same.
  std::optional<bool> shared_reads;
  std::size_t read_bytes = std::size_t{1} << 20;  ///< at most so much is read at a time
};

struct LoadResult {
  std::uint64_t bytes = 0;  ///< read from the file system by all ranks
  double seconds = 0;       ///< until the last of them was ready
};

/// Allocates every parameter in its held_dtype() and reads it, several slabs at a time, straight into its memory on a
/// host; hashes are verified. Of a stack only the slabs of Parameter::experts are read. Collective when there is a
/// communicator. Throws Error when the memory of the host is too small, before anything is allocated, unless checkpoint
/// and model have the same tensors, and for an altered checkpoint; then other ranks may wait, and Session::fail() must
/// end them.
LoadResult load_parameters(const TensorSource& source, std::vector<Parameter>& parameters, const ExecSpace& exec,
                           DType compute_dtype, const LoadOptions& options = {});

}  // namespace m2
