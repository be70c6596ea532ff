// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/ceilings.hpp"
#include "config/deck.hpp"
#include "core/memory.hpp"
#include "core/operation_log.hpp"

namespace m2 {

/// Of several measurements of the same thing.
struct Spread {
  double median = 0.0, least = 0.0, most = 0.0;
};

/// Throws Error for no values.
Spread spread_of(std::vector<double> values);

/// Bytes and FLOP in a time, beside what the machine could do.
struct Rates {
  double bytes_per_second = 0.0, flop_per_second = 0.0;
  double bandwidth_share = 0.0, peak_share = 0.0;
  /// The least time the ceilings allow, over the time taken.
  double roof_share() const { return bandwidth_share > peak_share ? bandwidth_share : peak_share; }
};

/// The ceiling for multiplications of a model that computes in `dtype`: of bfloat16 where there is one, else of
/// float32.
double peak_flop_per_second(const Ceilings& ceilings, DType dtype);
std::string peak_name(const Ceilings& ceilings, DType dtype);

Rates rates_of(const OperationCost& cost, double seconds, const Ceilings& ceilings, DType dtype);

/// Repeats of the same passes through the model.
struct BenchPhase {
  std::string name;             ///< "prefill", "decode", "train"
  std::int64_t tokens = 0;      ///< of a repeat, all ranks together
  std::vector<double> seconds;  ///< of each repeat, on the slowest rank
  OperationCost cost;           ///< of a repeat, all ranks together
  double timed_seconds = 0.0;   ///< of one more repeat, whose operations were timed one by one; on rank 0
  std::vector<OperationLog::Entry> operations;  ///< of that one, on rank 0

  Spread tokens_per_second() const;
};

/// One operation alone.
struct BenchCase {
  std::string operation, shape;
  DType activations, weights;  ///< the same where there are no weights
  OperationCost cost;
  Spread seconds;

  /// In which type it multiplies at best: the router's weights keep it in float32.
  DType peak_dtype() const { return weights == DType::float32 ? weights : activations; }
};

struct BenchMachine {
  std::string host, processor, space;
  int num_ranks = 1, num_threads = 1;  ///< threads of each rank
  std::string version, date;           ///< of this program; when it began, UTC
};

/// The model and what is true of all its passes; the memory is rank 0's.
struct BenchModelFacts {
  std::string source, description;
  DType dtype, weight_dtype;
  double load_seconds = 0.0;
  double first_pass_seconds = 0.0;  ///< the prompt's first pass, before anything is warm
  std::int64_t weight_bytes = 0, buffer_bytes = 0, kv_bytes = 0;
  ResidentMemory resident;

  std::int64_t declared_bytes() const { return weight_bytes + buffer_bytes + kv_bytes; }
};

struct BenchResult {
  BenchSection settings;
  BenchMachine machine;
  Ceilings ceilings;        ///< of all ranks together
  Ceilings rank_ceilings;   ///< of rank 0, for its operations
  Ceilings ceilings_after;  ///< as `ceilings`, measured at the end: whether the machine was the same all the time
  DType dtype = DType::bfloat16;
  std::optional<BenchModelFacts> model;
  std::vector<BenchPhase> phases;
  std::vector<BenchCase> cases;
};

}  // namespace m2
