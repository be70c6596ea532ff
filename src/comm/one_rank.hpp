// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "comm/communicator.hpp"

namespace m2 {

/// The communicator of a rank that is alone: every collective is a copy on the instance, or nothing.
std::unique_ptr<Communicator> one_rank();

}  // namespace m2
