// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/load/fetch_ahead.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace m2 {
namespace {

constexpr std::uint64_t kPieceBytes = std::uint64_t{2} << 20;
constexpr std::chrono::milliseconds kPause{1};

}  // namespace

FetchAhead::FetchAhead(const TensorSource& source, std::vector<Slab> slabs, const Progress& read)
    : source_(source),
      slabs_(std::move(slabs)),
      read_(read),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

void FetchAhead::run(const std::stop_token& stop) const {
  std::uint64_t fetched_bytes = 0;
  for (const Slab& slab : slabs_) {
    const std::uint64_t begin = slab.byte_offset(), end = begin + slab.size_bytes();
    for (std::uint64_t at = begin; at < end; at += kPieceBytes) {
      while (!stop.stop_requested() && fetched_bytes >= std::uint64_t(read_.done()) + kFetchWindowBytes)
        std::this_thread::sleep_for(kPause);
      if (stop.stop_requested()) return;
      const std::uint64_t bytes = std::min(kPieceBytes, end - at);
      source_.fetch(*slab.tensor, at, bytes, Fetch::finish);
      fetched_bytes += bytes;
    }
  }
}

}  // namespace m2
