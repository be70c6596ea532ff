// SPDX-License-Identifier: Apache-2.0
#include "train/checkpoint/background_writer.hpp"

#include <chrono>
#include <exception>
#include <memory>
#include <utility>

#include "core/stopwatch.hpp"
#include "train/checkpoint/read_back.hpp"

namespace m2 {

BackgroundWriter::BackgroundWriter(CheckpointFolder folder, int keep) : folder_(std::move(folder)), keep_(keep) {}

BackgroundWriter::~BackgroundWriter() {
  if (work_.valid()) work_.wait();
}

std::optional<SaveResult> BackgroundWriter::save(std::int64_t step, const TrainingState& state, const ExecSpace& exec,
                                                 bool is_best) {
  std::optional<SaveResult> previous = wait();
  const auto checkpoint = std::make_shared<const CheckpointWrite>(state, exec);
  stalled_seconds_ = 0;
  num_released_ = 0;
  try {
    work_ =
        std::async(std::launch::async, [this, checkpoint, step, is_best] { return run(*checkpoint, step, is_best); });
  } catch (...) {  // no thread could be made
    release(kAll);
    throw;
  }
  return previous;
}

SaveResult BackgroundWriter::run(const CheckpointWrite& checkpoint, std::int64_t step, bool is_best) {
  const Stopwatch watch;
  SaveResult result;
  result.step = step;
  result.path = folder_.file(step);
  result.bytes = checkpoint.bytes();
  try {
    result.was_there = !checkpoint.write(result.path, [this](std::size_t count) { release(count); });
    read_back(result.path);
    folder_.link(CheckpointLink::latest, step);
    if (is_best) folder_.link(CheckpointLink::best, step);
    folder_.prune(keep_);
  } catch (const std::exception& error) {
    result.error = error.what();
  }
  release(kAll);
  result.write_seconds = watch.seconds();
  return result;
}

void BackgroundWriter::release(std::size_t num_parameters) {
  num_released_.store(num_parameters, std::memory_order_release);
  num_released_.notify_all();
}

void BackgroundWriter::wait_for(std::size_t parameter) {
  std::size_t released = num_released_.load(std::memory_order_acquire);
  if (parameter < released) return;
  const Stopwatch watch;
  while (released <= parameter) {
    num_released_.wait(released, std::memory_order_acquire);
    released = num_released_.load(std::memory_order_acquire);
  }
  stalled_seconds_ += watch.seconds();
}

std::optional<SaveResult> BackgroundWriter::poll() {
  if (!work_.valid() || work_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return std::nullopt;
  return wait();
}

std::optional<SaveResult> BackgroundWriter::wait() {
  if (!work_.valid()) return std::nullopt;
  SaveResult result = work_.get();
  result.stalled_seconds = stalled_seconds_;
  return result;
}

}  // namespace m2
