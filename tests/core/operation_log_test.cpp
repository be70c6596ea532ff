// SPDX-License-Identifier: Apache-2.0
#include "core/operation_log.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "support/exec.hpp"

namespace m2::test {
namespace {

void operation(const char* name, OperationCost cost, int& num_asked) {
  const LoggedOperation logged(exec(), name, [&] {
    ++num_asked;
    return cost;
  });
}

TEST(OperationLog, CostsAreNotEvenAskedForWithoutARecording) {
  int num_asked = 0;
  operation("gemm", {}, num_asked);
  EXPECT_EQ(num_asked, 0);
}

TEST(OperationLog, AddsUpByPlaceAndOperationInTheOrderOfTheFirstCall) {
  int num_asked = 0;
  OperationLog log(OperationLog::Timing::off);
  {
    const OperationLog::Recording recording(log);
    operation("gemm", {.bytes = 1, .flop = 2}, num_asked);
    {
      const OperationPlace outer("experts");
      operation("gemm", {.bytes = 10, .flop = 20}, num_asked);
      {
        const OperationPlace inner("router");
        operation("route", {.bytes = 5}, num_asked);
      }
      operation("gemm", {.bytes = 100, .flop = 200}, num_asked);
    }
    operation("gemm", {.bytes = 1000, .flop = 2000}, num_asked);
  }
  operation("gemm", {}, num_asked);  // after the recording
  EXPECT_EQ(num_asked, 5);
  ASSERT_EQ(log.entries().size(), 3u);
  EXPECT_EQ(log.entries()[0].label(), "gemm");
  EXPECT_EQ(log.entries()[0].calls, 2);
  EXPECT_EQ(log.entries()[0].cost, (OperationCost{.bytes = 1001, .flop = 2002}));
  EXPECT_EQ(log.entries()[1].label(), "experts: gemm");
  EXPECT_EQ(log.entries()[1].cost, (OperationCost{.bytes = 110, .flop = 220}));
  EXPECT_EQ(log.entries()[2].label(), "router: route");
  EXPECT_EQ(log.total(), (OperationCost{.bytes = 1116, .flop = 2222}));
  EXPECT_EQ(log.total_seconds(), 0.0) << "nobody asked for times";
}

TEST(OperationLog, AnOperationInsideAnotherBelongsToIt) {
  int num_asked = 0;
  OperationLog log(OperationLog::Timing::on);
  {
    const OperationLog::Recording recording(log);
    const LoggedOperation outer(exec(), "fused", [] { return OperationCost{.bytes = 7, .flop = 8}; });
    operation("gemm", {.bytes = 1, .flop = 1}, num_asked);
  }
  EXPECT_EQ(num_asked, 0);
  ASSERT_EQ(log.entries().size(), 1u);
  EXPECT_EQ(log.entries()[0].operation, "fused");
  EXPECT_GT(log.entries()[0].seconds, 0.0);
}

TEST(OperationLog, RecordsTheThreadThatAskedForItOnly) {
  int num_asked = 0;
  OperationLog log(OperationLog::Timing::off);
  const OperationLog::Recording recording(log);
  std::thread([&] { operation("gemm", {}, num_asked); }).join();
  EXPECT_EQ(num_asked, 0);
}

}  // namespace
}  // namespace m2::test
