// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/tensor_source.hpp"
#include "core/dtype.hpp"

namespace m2 {

/// How many of the values are infinite or NaN (the codes 0x7f and 0xff of float8_e4m3fn); several GB/s on one core.
/// Throws Error unless the dtype is float32, bfloat16 or float8_e4m3fn.
std::int64_t count_non_finite(DType dtype, std::span<const std::byte> values);

/// The index of one value of a dense tensor, "[1, 3, 17]".
std::string index_text(std::uint64_t value, const std::vector<std::int64_t>& shape);

/// Collects where a checkpoint has infinities and NaNs, part by part. May be used from many threads at once.
class NonFiniteReport {
 public:
  /// Looks at some of the tensor's values, the first one at `byte_offset`; all of them belong to one part.
  void scan(const StoredTensor& tensor, std::uint64_t byte_offset, std::span<const std::byte> values);

  /// For add_report() of another rank's, which has seen other parts.
  std::string report() const;
  void add_report(const std::string& report);

  /// One line for each part concerned: native name, published name, how many, and where the first one is.
  std::vector<std::string> lines() const;

 private:
  struct Finding {
    std::int64_t count = 0;
    std::uint64_t first_value = 0;  // within the tensor
    std::string text;
  };

  mutable std::mutex mutex_;
  std::map<std::pair<std::string, std::uint64_t>, Finding> findings_;  // by tensor and part
};

}  // namespace m2
