// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <mutex>
#include <vector>

#include "checkpoint/background_tasks.hpp"
#include "checkpoint/load/shared_slabs.hpp"
#include "checkpoint/load/slab_loader.hpp"
#include "checkpoint/ranks_progress.hpp"

namespace m2 {

/// What one rank has to fill.
struct LoadPlan {
  std::vector<SharedSlabs> shared;
  std::vector<SlabTarget> own;  ///< read by this rank for itself

  std::uint64_t bytes_read_here() const;
};

/// Fills the memory of this rank: threads read, what others need first, while the calling thread broadcasts one slab
/// after the other.
class ParallelLoad {
 public:
  ParallelLoad(const TensorSource& source, const ExecSpace& exec, std::size_t read_bytes, const LoadPlan& plan,
               RanksProgress& progress);

  /// Collective over the groups of the plan.
  void run(int num_threads);

 private:
  void read(std::size_t number);
  void wait_for_read(std::size_t number, BackgroundTasks& reads);
  void broadcast_all(BackgroundTasks& reads);

  const TensorSource& source_;
  ExecSpace exec_;
  const LoadPlan& plan_;
  RanksProgress& progress_;
  SlabLoader loader_;
  std::vector<SlabTarget> copies_;                     // in the order they are read in
  std::vector<SlabTarget> shared_conversions_;         // read here, needed by others
  std::vector<std::vector<std::size_t>> read_number_;  // [shared][slab]: in copies_
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<char> is_read_;  // of copies_
};

}  // namespace m2
