// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/tensor_source.hpp"
#include "comm/communicator.hpp"

namespace m2 {

/// What a checkpoint is: architecture, parameters, dtypes and bytes by kind of tensor, files that travel along. With
/// `list_tensors`, also where each tensor lies.
std::string info_text(const TensorSource& source, bool list_tensors);

struct VerifyResult {
  std::vector<std::string> defects;  ///< one line each
  std::int64_t num_slabs = 0;        ///< pieces with a hash that was compared
  std::uint64_t bytes = 0;           ///< read
  double seconds = 0;
};

/// Reads everything: hashes (a Hugging Face folder has none) and finite values. Names, shapes and dtypes were checked
/// when the source was opened. With a communicator it is collective: each rank reads its share of the bytes, and rank 0
/// gets the result.
VerifyResult verify_checkpoint(const TensorSource& source, Communicator* world = nullptr);

/// The defects, a line each, and a line with the numbers.
std::string verify_text(const VerifyResult& result, const std::string& path);

struct DiffResult {
  std::int64_t num_equal = 0;            ///< tensors with equal bits, block scales included
  std::vector<std::string> differences;  ///< one line each, in the order of the tensors
};

/// Compares two checkpoints of any kind tensor by tensor, by their bits and, where these or the dtypes differ, by the
/// largest difference of the values in float32; then configuration key by key and the other texts byte by byte.
DiffResult diff_checkpoints(const TensorSource& a, const TensorSource& b);

/// The differences, a line each, and a line with the numbers.
std::string diff_text(const DiffResult& result);

}  // namespace m2
