// SPDX-License-Identifier: Apache-2.0
#include "train/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/error.hpp"

namespace m2 {
namespace {

/// Falls from 1 to 0 while `done` goes from 0 to 1.
double half_cosine(double done) { return (1.0 + std::cos(std::numbers::pi * done)) / 2.0; }

double height_left(DecayShape shape, double done) {
  switch (shape) {
    case DecayShape::linear:
      return 1.0 - done;
    case DecayShape::cosine:
      return half_cosine(done);
    case DecayShape::exponential:
      return 2.0 * std::exp2(-done) - 1.0;
    case DecayShape::minus_sqrt:
      return 1.0 - std::sqrt(done);
  }
  raise("schedule: unknown shape of decay {}", int(shape));
}

/// From 1 down to `min_ratio`.
double between(double min_ratio, double height) { return min_ratio + (1.0 - min_ratio) * height; }

double wsd(const ScheduleSection& schedule, std::int64_t step, std::int64_t num_steps) {
  const std::int64_t wanted = schedule.decay_steps.value_or(std::max<std::int64_t>(1, num_steps / 10));
  const std::int64_t decay_steps = std::min(wanted, num_steps - schedule.warmup_steps);
  const std::int64_t stable_end = num_steps - decay_steps;
  if (step <= stable_end) return 1.0;
  return between(schedule.min_ratio, height_left(schedule.decay, double(step - stable_end) / double(decay_steps)));
}

}  // namespace

double learning_rate_factor(const ScheduleSection& schedule, std::int64_t step, std::int64_t num_steps) {
  M2_REQUIRE(step >= 1 && step <= num_steps, "schedule: step {} was asked for, there are 1 to {}", step, num_steps);
  const std::int64_t warmup = schedule.warmup_steps;
  if (step <= warmup) return double(step) / double(warmup);
  const double done = double(step - warmup) / double(num_steps - warmup);
  switch (schedule.name) {
    case ScheduleName::constant:
      return 1.0;
    case ScheduleName::linear:
      return 1.0 - (1.0 - schedule.min_ratio) * done;
    case ScheduleName::cosine:
      return between(schedule.min_ratio, half_cosine(done));
    case ScheduleName::inverse_sqrt:
      return std::sqrt(double(std::max<std::int64_t>(warmup, 1)) / double(step));
    case ScheduleName::wsd:
      return wsd(schedule, step, num_steps);
  }
  raise("schedule: unknown name {}", int(schedule.name));
}

}  // namespace m2
