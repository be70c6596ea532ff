// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/load/shared_slabs.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace m2 {
namespace {

// Where a GPU's memory is not MPI's, a piece also lies on the host for a moment.
constexpr std::uint64_t kBroadcastBytes = std::uint64_t{64} << 20;

std::vector<std::size_t> numbers(std::size_t count) {
  std::vector<std::size_t> out(count);
  std::iota(out.begin(), out.end(), std::size_t{0});
  return out;
}

std::vector<std::uint64_t> stored_bytes(const std::vector<SlabTarget>& targets) {
  std::vector<std::uint64_t> bytes;
  for (const SlabTarget& target : targets) bytes.push_back(target.size_bytes());
  return bytes;
}

}  // namespace

std::vector<int> divide_by_bytes(std::span<const std::uint64_t> sizes_bytes, int num_ranks) {
  std::vector<std::size_t> order = numbers(sizes_bytes.size());
  std::ranges::stable_sort(order, std::greater{}, [&](std::size_t i) { return sizes_bytes[i]; });
  std::vector<std::uint64_t> load_bytes(num_ranks);
  std::vector<int> ranks(sizes_bytes.size());
  for (const std::size_t i : order) {
    const auto least = std::ranges::min_element(load_bytes);
    *least += sizes_bytes[i];
    ranks[i] = int(least - load_bytes.begin());
  }
  return ranks;
}

std::vector<std::size_t> order_of_readiness(std::span<const std::uint64_t> sizes_bytes, std::span<const int> readers,
                                            int num_ranks) {
  std::vector<std::uint64_t> read_bytes(num_ranks), ready_at(sizes_bytes.size());
  for (std::size_t i = 0; i < sizes_bytes.size(); ++i) ready_at[i] = read_bytes[readers[i]] += sizes_bytes[i];
  std::vector<std::size_t> order = numbers(sizes_bytes.size());
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return ready_at[i]; });
  return order;
}

SharedSlabs::SharedSlabs(Communicator& ranks, std::vector<SlabTarget> slabs)
    : group(&ranks), targets(std::move(slabs)) {
  const std::vector<std::uint64_t> bytes = stored_bytes(targets);
  readers = divide_by_bytes(bytes, group->size());
  order = order_of_readiness(bytes, readers, group->size());
}

void SharedSlabs::broadcast(const ExecSpace& exec, std::size_t i) const {
  const std::uint64_t end = targets[i].memory_bytes();
  for (std::uint64_t begin = 0; begin < end; begin += kBroadcastBytes) {
    const View1D<std::byte> piece(targets[i].begin + begin, std::min(kBroadcastBytes, end - begin));
    group->broadcast<std::byte>(exec, piece, readers[i]);
  }
}

}  // namespace m2
