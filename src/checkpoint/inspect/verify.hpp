// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/tensor_source.hpp"
#include "comm/communicator.hpp"

namespace m2 {

struct VerifyResult {
  std::vector<std::string> defects;  ///< one line each
  std::int64_t num_slabs = 0;        ///< pieces with a hash that was compared
  std::uint64_t bytes = 0;           ///< read
  double seconds = 0;
};

/// Reads everything: hashes (a Hugging Face folder has none), also those of others(), and finite values of the model.
/// Names, shapes and dtypes were checked when the source was opened. With a communicator it is collective: each rank
/// reads its share of the bytes, and rank 0 gets the result.
VerifyResult verify_checkpoint(const TensorSource& source, Communicator* world = nullptr);

/// The defects, a line each, and a line with the numbers.
std::string verify_text(const VerifyResult& result, const std::string& path);

}  // namespace m2
