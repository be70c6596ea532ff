// SPDX-License-Identifier: Apache-2.0
#include "core/stop_signal.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

namespace m2 {
namespace {

// In processes of their own: a flag that is set stays set.
void raise_and_exit(int first, int second) {
  install_stop_handler();
  if (stop_requested() || stop_signal() != 0) std::_Exit(90);
  std::raise(first);
  std::raise(second);
  try {
    throw_if_stop_requested();
  } catch (const Interrupted& stop) {
    std::fputs(stop.what(), stderr);
    std::_Exit(stop_requested() && stop.signal() == stop_signal() ? stop.signal() : 91);
  }
  std::_Exit(92);
}

class StopSignal : public ::testing::Test {
 protected:
  StopSignal() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(StopSignal, TheFirstOneIsRemembered) {
  EXPECT_EXIT(raise_and_exit(SIGTERM, SIGINT), ::testing::ExitedWithCode(SIGTERM), "stopped by SIGTERM");
  EXPECT_EXIT(raise_and_exit(SIGUSR1, SIGTERM), ::testing::ExitedWithCode(SIGUSR1), "stopped by SIGUSR1");
}

TEST_F(StopSignal, ASecondOneOfItsKindKills) {
  EXPECT_EXIT(raise_and_exit(SIGINT, SIGINT), ::testing::KilledBySignal(SIGINT), "");
}

TEST_F(StopSignal, NoneIsNoReasonToStop) { EXPECT_NO_THROW(throw_if_stop_requested()); }

}  // namespace
}  // namespace m2
