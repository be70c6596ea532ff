// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/operation_log.hpp"

namespace m2 {

/// Bytes of all elements.
template <class... Views>
std::int64_t bytes_of(const Views&... views) {
  return (std::int64_t{0} + ... + std::int64_t(views.size() * sizeof(typename Views::value_type)));
}

/// What an operation reports that touches every element of these arrays once. Only matrix products and attention count
/// FLOP: elsewhere the memory is the limit, and how many operations an exponential takes is a matter of opinion.
template <class... Views>
OperationCost array_cost(const Views&... views) {
  return {.bytes = bytes_of(views...)};
}

}  // namespace m2
