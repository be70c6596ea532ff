// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <future>
#include <limits>
#include <optional>
#include <string>

#include "core/views.hpp"
#include "train/checkpoint/checkpoint_folder.hpp"
#include "train/checkpoint/checkpoint_write.hpp"

namespace m2 {

/// What became of a save.
struct SaveResult {
  std::int64_t step = 0;
  std::string path;
  std::string error = {};      ///< empty if all went well; else what to warn of: training can go on
  bool was_there = false;      ///< with the same tensors, bit by bit, and stays
  std::uint64_t bytes = 0;     ///< of all tensors
  double write_seconds = 0;    ///< until the file was on the disk, read back and linked
  double stalled_seconds = 0;  ///< that wait_for() took
};

/// Saves while training goes on. Weights and states stay where they are: nothing but the optimizer changes them, so a
/// thread writes them during the passes that follow, in the order of the parameters, and the optimizer asks
/// wait_for(i) before it touches parameter i. What stalls training is only what the optimizer catches up with.
///
/// The thread writes the file (CheckpointWrite), reads it back, lets `latest` name it (and `best` if asked) and prunes
/// the folder, in this order. libhdf5 is usually built without thread safety; Hdf5Session keeps the thread and others
/// that read or write files of ours apart, for moments only. Functions are called from one thread, the trainer's.
class BackgroundWriter {
 public:
  /// `keep`: how many files prune() leaves. The folder was prepared.
  BackgroundWriter(CheckpointFolder folder, int keep);
  /// Ends the save that is under way; then nobody hears of an error.
  ~BackgroundWriter();
  BackgroundWriter(const BackgroundWriter&) = delete;
  BackgroundWriter& operator=(const BackgroundWriter&) = delete;

  /// Begins to write step-<step>.h5 and returns: when `exec`, where the model is computed, is done, and the save before
  /// is. Returns what became of that if neither poll() nor wait() said so. The memory of `state` must stay as it is
  /// until wait_for() returns. Throws Error for a state that is no checkpoint (see CheckpointWrite), and for nothing
  /// that a disk can do.
  std::optional<SaveResult> save(std::int64_t step, const TrainingState& state, const ExecSpace& exec,
                                 bool is_best = false);

  /// Returns when the weight and the states of parameter i of `state` may be changed.
  void wait_for(std::size_t parameter);

  /// What became of the save, once, if it has ended; nothing if it has not, or if there was none.
  std::optional<SaveResult> poll();
  /// The same, after waiting for its end.
  std::optional<SaveResult> wait();

 private:
  static constexpr std::size_t kAll = std::numeric_limits<std::size_t>::max();

  SaveResult run(const CheckpointWrite& checkpoint, std::int64_t step, bool is_best);
  void release(std::size_t num_parameters);

  CheckpointFolder folder_;
  int keep_;
  double stalled_seconds_ = 0;                   // of the save under way
  std::atomic<std::size_t> num_released_{kAll};  // parameters whose memory is not needed any more
  std::future<SaveResult> work_;
};

}  // namespace m2
