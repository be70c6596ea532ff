// SPDX-License-Identifier: Apache-2.0
#include "core/operation_log.hpp"

#include <algorithm>

namespace m2 {

OperationCost& OperationCost::operator+=(const OperationCost& other) {
  bytes += other.bytes;
  flop += other.flop;
  return *this;
}

OperationCost OperationLog::total() const {
  OperationCost total;
  for (const Entry& entry : entries_) total += entry.cost;
  return total;
}

double OperationLog::total_seconds() const {
  double seconds = 0.0;
  for (const Entry& entry : entries_) seconds += entry.seconds;
  return seconds;
}

void OperationLog::add(const char* operation, const OperationCost& cost, double seconds) {
  auto entry = std::ranges::find_if(
      entries_, [&](const Entry& known) { return known.operation == operation && known.place == place_; });
  if (entry == entries_.end()) {
    entry = entries_.insert(entry, Entry{.place = place_, .operation = operation, .cost = {}});
  }
  ++entry->calls;
  entry->cost += cost;
  entry->seconds += seconds;
}

OperationPlace::OperationPlace(const char* name) : log_(OperationLog::recording()) {
  if (log_ == nullptr) return;
  before_ = log_->place_;
  log_->place_ = name;
}

OperationPlace::~OperationPlace() {
  if (log_ != nullptr) log_->place_ = before_;
}

void LoggedOperation::begin(OperationLog& log, const ExecSpace& exec, const char* operation,
                            const OperationCost& cost) {
  log_ = &log;
  exec_ = &exec;
  operation_ = operation;
  cost_ = cost;
  log.is_inside_operation_ = true;
  if (log.timing_ == OperationLog::Timing::on) exec.fence("m2::operation_log: what came before");
  begin_ = std::chrono::steady_clock::now();
}

void LoggedOperation::end() {
  double seconds = 0.0;
  if (log_->timing_ == OperationLog::Timing::on) {
    exec_->fence("m2::operation_log: the operation");
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }
  log_->is_inside_operation_ = false;
  log_->add(operation_, cost_, seconds);
}

}  // namespace m2
