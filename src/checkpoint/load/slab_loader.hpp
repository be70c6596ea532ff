// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "checkpoint/slab_reader.hpp"
#include "checkpoint/tensor_source.hpp"
#include "core/progress.hpp"
#include "core/views.hpp"

namespace m2 {

/// A slab of a checkpoint and the piece of a parameter's memory that it fills.
struct SlabTarget : Slab {
  DType dtype{};  ///< in memory
  std::byte* begin = nullptr;
  int panel_columns = 0;  ///< if not 0: the slab's rows have so many values and become panels

  bool is_conversion() const { return dtype != tensor->dtype; }
  std::uint64_t memory_bytes() const { return size_bytes() / m2::size_bytes(tensor->dtype) * m2::size_bytes(dtype); }
};

/// Whether a slab can be read straight to where it stays.
inline constexpr bool kHostReachesParameters = Kokkos::SpaceAccessibility<HostSpace, MemorySpace>::accessible;

/// Reads slabs into the memory of parameters, and verifies them.
class SlabLoader {
 public:
  /// `read_bytes`: at most so much is read from the file at a time.
  SlabLoader(const TensorSource& source, const ExecSpace& exec, std::size_t read_bytes, Progress& progress)
      : source_(source), exec_(exec), read_bytes_(read_bytes), progress_(progress) {}

  /// The bytes as they are, or in panels. From many threads at once, for which a FetchAhead fetches.
  void copy(const SlabTarget& target) const;
  /// Through float32, with all threads. From one thread.
  void convert(const SlabTarget& target) const;

 private:
  void copy_panels(const SlabTarget& target, SlabReader& reader) const;

  const TensorSource& source_;
  ExecSpace exec_;
  std::size_t read_bytes_;
  Progress& progress_;
};

}  // namespace m2
