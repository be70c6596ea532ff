// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "config/training_sections.hpp"

namespace m2 {

/// What optimizer.learning_rate is multiplied by in step s = `step` (from 1) of N = `num_steps`, with W = warmup_steps
/// and r = min_ratio. In the warm-up s / W; afterwards, with t = (s - W) / (N - W),
///   constant      1
///   linear        1 - (1 - r) t
///   cosine        r + (1 - r) (1 + cos(pi t)) / 2
///   inverse_sqrt  sqrt(max(W, 1) / s)
///   wsd           1 until the last D = decay_steps, then r + (1 - r) f(d) with d the share of them that is done, f as
///                 in Megatron-LM: linear 1 - d, cosine (1 + cos(pi d)) / 2, exponential 2 * 2^-d - 1, minus_sqrt
///                 1 - sqrt(d). D, a tenth of N where the deck leaves it out, ends where the warm-up does.
/// Throws Error unless 1 <= step <= num_steps.
double learning_rate_factor(const ScheduleSection& schedule, std::int64_t step, std::int64_t num_steps);

}  // namespace m2
