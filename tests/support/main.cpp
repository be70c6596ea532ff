// SPDX-License-Identifier: Apache-2.0
// The main function of every test program that runs as one process.
#include <gtest/gtest.h>

#include <Kokkos_Core.hpp>

#include "support/label_check.hpp"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  Kokkos::ScopeGuard kokkos(argc, argv);
  m2::test::check_labels();
  return RUN_ALL_TESTS();
}
