// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <thread>
#include <vector>

#include "checkpoint/tensor_source.hpp"
#include "core/progress.hpp"

namespace m2 {

/// How far a rank lets the system fetch ahead of all its readers.
inline constexpr std::uint64_t kFetchWindowBytes = std::uint64_t{64} << 20;

/// A thread that has slabs fetched from the disk before somebody reads them. Starting a transfer takes a processor's
/// time, and waits when the disk has enough to do: threads that read would neither hash nor touch fresh memory
/// meanwhile, and each would begin anew with every slab.
class FetchAhead {
 public:
  /// The slabs in the order they will be read in. `read` counts the bytes that were: it sets the pace, and must stay.
  FetchAhead(const TensorSource& source, std::vector<Slab> slabs, const Progress& read);

 private:
  void run(const std::stop_token& stop) const;

  const TensorSource& source_;
  std::vector<Slab> slabs_;
  const Progress& read_;
  std::jthread thread_;  // the last member: it uses the others
};

}  // namespace m2
