// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/ranks_progress.hpp"

#include <fmt/format.h>

#include <limits>
#include <sstream>

#include "core/byte_size.hpp"

namespace m2 {
namespace {

constexpr auto kInterval = std::chrono::seconds(1);

}  // namespace

RanksProgress::RanksProgress(const std::string& label, std::uint64_t own_bytes, Communicator* world) {
  std::vector<std::int64_t> share_bytes{std::int64_t(own_bytes)};
  if (world != nullptr && world->size() > 1) {
    rank_ = world->rank();
    share_bytes = world->all_gather_values(share_bytes);
    mailbox_.emplace(*world);
  }
  for (const std::int64_t bytes : share_bytes) {
    shares_.push_back({.total_bytes = bytes});
    total_bytes_ += std::uint64_t(bytes);
  }
  progress_.emplace(label, std::int64_t(total_bytes_), "B", rank_ == 0 ? stderr : nullptr);
  next_tick_ = std::chrono::steady_clock::now() + kInterval;
}

void RanksProgress::tick() {
  if (!mailbox_ || std::chrono::steady_clock::now() < next_tick_) return;
  publish();
  take(mailbox_->poll());
  next_tick_ = std::chrono::steady_clock::now() + kInterval;
}

double RanksProgress::finish() {
  if (mailbox_) {
    publish();
    take(mailbox_->drain());
  }
  return progress_->elapsed_seconds();
}

void RanksProgress::publish() {
  if (rank_ == 0) return;
  mailbox_->send(fmt::format("{} {} {}", rank_, progress_->done(), progress_->elapsed_seconds()));
}

void RanksProgress::take(const std::vector<std::string>& messages) {
  if (rank_ != 0) return;
  std::int64_t others_bytes = 0;
  for (const std::string& message : messages) {
    std::istringstream words(message);
    std::size_t rank = 0;
    std::int64_t done_bytes = 0;
    double seconds = 0;
    words >> rank >> done_bytes >> seconds;
    Share& share = shares_.at(rank);
    progress_->add(done_bytes - share.done_bytes);
    share.done_bytes = done_bytes;
    share.seconds = seconds;
  }
  for (const Share& share : shares_) others_bytes += &share == shares_.data() ? 0 : share.done_bytes;
  Share& own = shares_[0];
  const std::int64_t own_bytes = progress_->done() - others_bytes;
  if (own_bytes != own.done_bytes) own.seconds = progress_->elapsed_seconds();
  own.done_bytes = own_bytes;
  show_slowest();
}

// Only of ranks that have something to do; one that is done keeps the rate it had.
void RanksProgress::show_slowest() {
  std::size_t slowest = 0;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t rank = 0; rank < shares_.size(); ++rank) {
    const Share& share = shares_[rank];
    if (share.total_bytes == 0 || share.seconds <= 0) continue;
    const double bytes_per_second = double(share.done_bytes) / share.seconds;
    if (bytes_per_second >= least) continue;
    least = bytes_per_second;
    slowest = rank;
  }
  if (least == std::numeric_limits<double>::infinity()) return;
  progress_->set_note(fmt::format("slowest rank {}: {}/s", slowest, byte_size_text(std::uint64_t(least))));
}

}  // namespace m2
