// SPDX-License-Identifier: Apache-2.0
// What every operation promises, by the case table: it agrees with its oracle, a token's bits don't depend on the batch
// it is in, nor on the number of threads. Each folder instantiates this for its operations.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <span>
#include <string>
#include <vector>

#include "core/operation_log.hpp"
#include "kernels/operation.hpp"
#include "support/exec.hpp"

namespace m2::test {

template <class Op>
class Operation : public ::testing::Test {};
TYPED_TEST_SUITE_P(Operation);

TYPED_TEST_P(Operation, AgreesWithItsOracle) {
  for (const int num_tokens : {0, 1, 3, 17, 64, 257}) {
    for (const int width : TypeParam::kWidths) {
      if (num_tokens > 64 && width > 17) continue;  // long and wide adds time, no case
      const TypeParam op({num_tokens, width});
      op.run(exec());
      EXPECT_TRUE(all_close(op.actual(), op.expected(), op.tolerance()))
          << fmt::format("{}: {} tokens of width {}", TypeParam::kName, num_tokens, width);
    }
  }
}

TYPED_TEST_P(Operation, ATokenAloneHasTheSameBitsAsIn257) {
  const TypeParam op({257, TypeParam::kWidths[1]});
  op.run(exec());
  const std::vector<float> all = op.actual();
  for (const int t : {0, 1, 100, 171, 172, 256}) {
    const std::vector<float> alone = op.alone(t);
    // Experts and weights of a router lie one after the other: two parts, each token by token.
    const std::string name = TypeParam::kName;
    const std::size_t parts = name == "route" || name.starts_with("route/") ? 2 : 1, width = alone.size() / parts;
    for (std::size_t part = 0; part < parts; ++part) {
      const auto in_batch = std::span(all).subspan(part * all.size() / parts + std::size_t(t) * width, width);
      EXPECT_TRUE(same_bits(std::span(alone).subspan(part * width, width), in_batch))
          << TypeParam::kName << ", token " << t;
    }
  }
}

TYPED_TEST_P(Operation, ReportsItsBytesAndFlop) {
  for (const int num_tokens : {1, 17, 64}) {
    const TypeParam op({num_tokens, TypeParam::kWidths[1]});
    OperationLog log(OperationLog::Timing::on);
    {
      const OperationLog::Recording recording(log);
      op.run(exec());
    }
    ASSERT_EQ(log.entries().size(), 1u);
    const OperationLog::Entry& entry = log.entries()[0];
    EXPECT_TRUE(std::string(TypeParam::kName).starts_with(entry.operation)) << entry.operation;
    EXPECT_EQ(entry.calls, 1);
    EXPECT_EQ(double(entry.cost.bytes), op.bytes()) << entry.operation;
    EXPECT_EQ(double(entry.cost.flop), flop_of(op)) << entry.operation;
    EXPECT_GT(entry.seconds, 0.0);
  }
}

TYPED_TEST_P(Operation, OneAndTwoThreadsGiveTheSameBits) {
#ifdef KOKKOS_ENABLE_OPENMP
  if constexpr (std::is_same_v<ExecSpace, Kokkos::OpenMP>) {
    const Size size{65, TypeParam::kWidths[1]};
    const TypeParam one(size), two(size);
    one.run(Kokkos::OpenMP(1));
    two.run(Kokkos::OpenMP(2));
    EXPECT_TRUE(same_bits(one.actual(), two.actual())) << TypeParam::kName;
    return;
  }
#endif
  GTEST_SKIP() << "the instance has no threads to choose";
}

REGISTER_TYPED_TEST_SUITE_P(Operation, AgreesWithItsOracle, ATokenAloneHasTheSameBitsAsIn257, ReportsItsBytesAndFlop,
                            OneAndTwoThreadsGiveTheSameBits);

}  // namespace m2::test
