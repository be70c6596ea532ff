// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Kokkos_Core.hpp>
#include <algorithm>
#include <cstdint>

namespace m2::test {

/// What Kokkos::deep_copy copies while this lives. One at a time.
class CopiedBytes {
 public:
  CopiedBytes() {
    total_ = largest_ = 0;
    Kokkos::Tools::Experimental::set_begin_deep_copy_callback(add);
  }
  ~CopiedBytes() { Kokkos::Tools::Experimental::set_begin_deep_copy_callback(nullptr); }
  CopiedBytes(const CopiedBytes&) = delete;
  CopiedBytes& operator=(const CopiedBytes&) = delete;

  std::int64_t total() const { return total_; }
  std::int64_t largest() const { return largest_; }  ///< single copy

 private:
  static void add(Kokkos_Profiling_SpaceHandle, const char*, const void*, Kokkos_Profiling_SpaceHandle, const char*,
                  const void*, std::uint64_t bytes) {
    total_ += std::int64_t(bytes);
    largest_ = std::max(largest_, std::int64_t(bytes));
  }

  inline static std::int64_t total_ = 0, largest_ = 0;
};

}  // namespace m2::test
