// SPDX-License-Identifier: Apache-2.0
// Random choices that are functions of their arguments: the same on every rank, for any number of threads, after any
// resume. The numbers come from Philox 4x32-10 with the seed as its key.
#pragma once

#include <cstdint>
#include <vector>

namespace m2 {

/// What a number is drawn for; choices for different purposes are independent. `index` below 2^24.
struct RandomPurpose {
  enum class Kind : std::uint32_t { epoch_order, file_round, holdout };
  Kind kind;
  int index = 0;  ///< of a file
};

/// The numbers 0 to count - 1 in the order of one shuffle (Fisher and Yates) for each `round`.
std::vector<std::int64_t> random_order(std::int64_t count, std::int64_t seed, RandomPurpose purpose,
                                       std::int64_t round);

/// A number in [0, 1) for each `item`.
double random_fraction(std::int64_t seed, RandomPurpose purpose, std::int64_t item);

}  // namespace m2
