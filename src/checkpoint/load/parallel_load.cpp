// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/load/parallel_load.hpp"

#include <algorithm>
#include <chrono>
#include <limits>

#include "checkpoint/load/fetch_ahead.hpp"

namespace m2 {
namespace {

constexpr std::size_t kNotRead = std::numeric_limits<std::size_t>::max();  // here, or not as a copy

}  // namespace

std::uint64_t LoadPlan::bytes_read_here() const {
  std::uint64_t bytes = 0;
  for (const SharedSlabs& set : shared) {
    for (std::size_t i = 0; i < set.targets.size(); ++i) bytes += set.is_read_here(i) ? set.targets[i].size_bytes() : 0;
  }
  for (const SlabTarget& target : own) bytes += target.size_bytes();
  return bytes;
}

ParallelLoad::ParallelLoad(const TensorSource& source, const ExecSpace& exec, std::size_t read_bytes,
                           const LoadPlan& plan, RanksProgress& progress)
    : source_(source),
      exec_(exec),
      plan_(plan),
      progress_(progress),
      loader_(source, exec, read_bytes, progress.own()) {
  for (const SharedSlabs& shared : plan.shared) {
    std::vector<std::size_t>& numbers = read_number_.emplace_back(shared.targets.size(), kNotRead);
    for (std::size_t i = 0; i < shared.targets.size(); ++i) {
      if (!shared.is_read_here(i)) continue;
      if (shared.targets[i].is_conversion()) {
        shared_conversions_.push_back(shared.targets[i]);
      } else {
        numbers[i] = copies_.size();
        copies_.push_back(shared.targets[i]);
      }
    }
  }
  std::ranges::copy_if(plan.own, std::back_inserter(copies_),
                       [](const auto& target) { return !target.is_conversion(); });
  is_read_.resize(copies_.size());
}

void ParallelLoad::read(std::size_t number) {
  loader_.copy(copies_[number]);
  const std::lock_guard lock(mutex_);
  is_read_[number] = true;
  changed_.notify_one();
}

void ParallelLoad::wait_for_read(std::size_t number, BackgroundTasks& reads) {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, kTick, [&] { return is_read_[number]; })) {
    lock.unlock();
    reads.wait_for(std::chrono::milliseconds(0));  // throws what a reader threw
    progress_.tick();
    lock.lock();
  }
}

void ParallelLoad::broadcast_all(BackgroundTasks& reads) {
  for (std::size_t set = 0; set < plan_.shared.size(); ++set) {
    for (const std::size_t i : plan_.shared[set].order) {
      if (read_number_[set][i] != kNotRead) wait_for_read(read_number_[set][i], reads);
      plan_.shared[set].broadcast(exec_, i);
      progress_.tick();
    }
  }
}

void ParallelLoad::run(int num_threads) {
  const FetchAhead fetch(source_, std::vector<Slab>(copies_.begin(), copies_.end()), progress_.own());
  BackgroundTasks reads(copies_.size(), num_threads, [this](std::size_t number) { read(number); });
  for (const SlabTarget& target : shared_conversions_) loader_.convert(target);
  broadcast_all(reads);
  for (const SlabTarget& target : plan_.own) {
    if (!target.is_conversion()) continue;
    loader_.convert(target);
    progress_.tick();
  }
  while (!reads.wait_for(kTick)) progress_.tick();
  exec_.fence("m2::load_parameters: broadcasts are complete");
}

}  // namespace m2
