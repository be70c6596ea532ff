// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "core/views.hpp"

namespace m2 {

/// What an operation must move and compute at least: every array it reads or writes once, whatever caches do; a
/// multiplication and an addition are two FLOP.
struct OperationCost {
  std::int64_t bytes = 0;
  std::int64_t flop = 0;

  OperationCost& operator+=(const OperationCost& other);
  bool operator==(const OperationCost&) const = default;
};

/// What the operations of one thread did while the log was recording. Without a recording an operation pays for one
/// branch.
class OperationLog {
 public:
  /// All calls of one operation at one place, in the order of the first.
  struct Entry {
    std::string place;      ///< of the innermost OperationPlace; may be empty
    std::string operation;  ///< "gemm"
    std::int64_t calls = 0;
    OperationCost cost;
    double seconds = 0.0;  ///< 0 unless timed

    /// "experts: gemm".
    std::string label() const { return place.empty() ? operation : place + ": " + operation; }
  };

  /// Timed operations wait for the instance before and after: nothing overlaps any more.
  enum class Timing { off, on };
  explicit OperationLog(Timing timing) : timing_(timing) {}

  const std::vector<Entry>& entries() const { return entries_; }
  OperationCost total() const;
  double total_seconds() const;

  /// The calling thread's operations report to `log` until this ends.
  class Recording {
   public:
    explicit Recording(OperationLog& log) : before_(recording_) { recording_ = &log; }
    ~Recording() { recording_ = before_; }
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;

   private:
    OperationLog* before_;
  };

 private:
  friend class LoggedOperation;
  friend class OperationPlace;

  static OperationLog* recording() { return recording_; }
  void add(const char* operation, const OperationCost& cost, double seconds);

  inline static constinit thread_local OperationLog* recording_ = nullptr;

  Timing timing_;
  std::vector<Entry> entries_;
  const char* place_ = "";
  bool is_inside_operation_ = false;
};

/// Names the part of the model whose operations come next: const OperationPlace place("experts").
class OperationPlace {
 public:
  explicit OperationPlace(const char* name);
  ~OperationPlace();
  OperationPlace(const OperationPlace&) = delete;
  OperationPlace& operator=(const OperationPlace&) = delete;

 private:
  OperationLog* log_;
  const char* before_ = nullptr;
};

/// Stands first in the public function of an operation; `cost()` gives its OperationCost and is asked only while a log
/// is recording. Operations that this one calls belong to it and are not told apart.
class LoggedOperation {
 public:
  template <class Cost>
  LoggedOperation(const ExecSpace& exec, const char* operation, const Cost& cost) {
    OperationLog* const log = OperationLog::recording();
    if (log != nullptr && !log->is_inside_operation_) begin(*log, exec, operation, cost());
  }
  ~LoggedOperation() {
    if (log_ != nullptr) end();
  }
  LoggedOperation(const LoggedOperation&) = delete;
  LoggedOperation& operator=(const LoggedOperation&) = delete;

 private:
  void begin(OperationLog& log, const ExecSpace& exec, const char* operation, const OperationCost& cost);
  void end();

  OperationLog* log_ = nullptr;
  const ExecSpace* exec_ = nullptr;
  const char* operation_ = nullptr;
  OperationCost cost_;
  std::chrono::steady_clock::time_point begin_;
};

}  // namespace m2
