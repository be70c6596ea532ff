// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/startup/session.hpp"

namespace m2::test {

/// The ranks that run this test program (m2_mpi_test). Every rank runs the same tests in the same order, so a test
/// compares with EXPECT on each rank and goes on: a rank that left it early would let the others wait.
Session& session();

}  // namespace m2::test
