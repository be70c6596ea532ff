// SPDX-License-Identifier: Apache-2.0
// What every operation promises, by the case table: it agrees with its oracle, a token's bits don't depend on the batch
// it is in, nor on the number of threads.
#include "kernels/operations.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/operation_log.hpp"
#include "kernels/attention_operation.hpp"
#include "kernels/routing_operations.hpp"

namespace m2::test {
namespace {

template <class Op>
class Operation : public ::testing::Test {};

using Operations = ::testing::Types<
    EmbeddingOp<float, float>, EmbeddingOp<float, Bf16>, EmbeddingOp<Bf16, float>, EmbeddingOp<Bf16, Bf16>,
    RmsNormOp<float, RmsNormOrder::cast_last>, RmsNormOp<Bf16, RmsNormOrder::cast_last>,
    RmsNormOp<Bf16, RmsNormOrder::cast_first>, ResidualAddOp<float>, ResidualAddOp<Bf16>, RopeOp<float>, RopeOp<Bf16>,
    SwigluOp<float>, SwigluOp<Bf16>, TokenLogprobOp, RouteOp<ScoreFunction::sigmoid>, RouteOp<ScoreFunction::softmax>,
    CombineOp<float>, CombineOp<Bf16>, GatherRowsOp<float>, GatherRowsOp<Bf16>, AttentionOp<float>, AttentionOp<Bf16>>;
TYPED_TEST_SUITE(Operation, Operations);

TYPED_TEST(Operation, AgreesWithItsOracle) {
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

TYPED_TEST(Operation, ATokenAloneHasTheSameBitsAsIn257) {
  const TypeParam op({257, TypeParam::kWidths[1]});
  op.run(exec());
  const std::vector<float> all = op.actual();
  for (const int t : {0, 1, 100, 171, 172, 256}) {
    const std::vector<float> alone = op.alone(t);
    // Experts and weights of a router lie one after the other: two parts, each token by token.
    const std::size_t parts = std::string(TypeParam::kName).starts_with("route") ? 2 : 1, width = alone.size() / parts;
    for (std::size_t part = 0; part < parts; ++part) {
      const auto in_batch = std::span(all).subspan(part * all.size() / parts + std::size_t(t) * width, width);
      EXPECT_TRUE(same_bits(std::span(alone).subspan(part * width, width), in_batch))
          << TypeParam::kName << ", token " << t;
    }
  }
}

TYPED_TEST(Operation, ReportsItsBytesAndFlop) {
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
    EXPECT_EQ(double(entry.cost.flop), op.flop()) << entry.operation;
    EXPECT_GT(entry.seconds, 0.0);
  }
}

#ifdef KOKKOS_ENABLE_OPENMP
TYPED_TEST(Operation, OneAndTwoThreadsGiveTheSameBits) {
  if constexpr (std::is_same_v<ExecSpace, Kokkos::OpenMP>) {
    const Size size{65, TypeParam::kWidths[1]};
    const TypeParam one(size), two(size);
    one.run(Kokkos::OpenMP(1));
    two.run(Kokkos::OpenMP(2));
    EXPECT_TRUE(same_bits(one.actual(), two.actual())) << TypeParam::kName;
  }
}
#endif

}  // namespace
}  // namespace m2::test
