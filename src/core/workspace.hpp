// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/error.hpp"
#include "core/views.hpp"

namespace m2 {

/// Temporary buffers of a forward pass: one allocation, handed out as a stack. A workspace without memory only counts,
/// so the code that takes the buffers also says how many bytes they need.
class Workspace {
 public:
  /// Counts only: the Views it hands out hold no memory and must not be used.
  Workspace() = default;

  Workspace(const ExecSpace& exec, std::int64_t capacity_bytes)
      : memory_(Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, "m2::workspace"), capacity_bytes) {}

  /// A buffer of rows x columns, uninitialised, valid until the frame it was taken in ends. Throws Error when the
  /// workspace is too small.
  template <class T>
  View2D<T> take(std::int64_t num_rows, std::int64_t num_columns) {
    return View2D<T>(reinterpret_cast<T*>(take_bytes(num_rows * num_columns * std::int64_t(sizeof(T)))), num_rows,
                     num_columns);
  }

  template <class T>
  View1D<T> take(std::int64_t count) {
    return View1D<T>(reinterpret_cast<T*>(take_bytes(count * std::int64_t(sizeof(T)))), count);
  }

  /// What was in use at most since construction.
  std::int64_t peak_bytes() const { return peak_bytes_; }
  std::int64_t capacity_bytes() const { return memory_.extent(0); }
  bool counts_only() const { return memory_.data() == nullptr; }

  /// Gives back, when it ends, all that was taken since it began.
  class Frame {
   public:
    explicit Frame(Workspace& workspace) : workspace_(workspace), used_bytes_(workspace.used_bytes_) {}
    ~Frame() { workspace_.used_bytes_ = used_bytes_; }
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;

   private:
    Workspace& workspace_;
    std::int64_t used_bytes_;
  };

 private:
  static constexpr std::int64_t kAlignmentBytes = 256;

  std::byte* take_bytes(std::int64_t bytes) {
    const std::int64_t begin = used_bytes_;
    used_bytes_ += (bytes + kAlignmentBytes - 1) / kAlignmentBytes * kAlignmentBytes;
    peak_bytes_ = std::max(peak_bytes_, used_bytes_);
    if (counts_only()) return nullptr;
    M2_REQUIRE(used_bytes_ <= capacity_bytes(), "workspace: {} bytes are needed, {} were allocated", used_bytes_,
               capacity_bytes());
    return memory_.data() + begin;
  }

  View1D<std::byte> memory_;
  std::int64_t used_bytes_ = 0;
  std::int64_t peak_bytes_ = 0;
};

}  // namespace m2
