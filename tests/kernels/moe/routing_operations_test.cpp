// SPDX-License-Identifier: Apache-2.0
#include "kernels/moe/routing_operations.hpp"
#include "kernels/moe/route_backward_operation.hpp"
#include "kernels/operation_test.hpp"

namespace m2::test {
namespace {

using Operations = ::testing::Types<RouteOp<ScoringFunc::sigmoid>, RouteOp<ScoringFunc::softmax>,
                                    RouteBackwardOp<ScoringFunc::sigmoid>, RouteBackwardOp<ScoringFunc::sigmoid, false>,
                                    RouteBackwardOp<ScoringFunc::softmax>, RouteBackwardOp<ScoringFunc::softmax, false>,
                                    CombineOp<float>, CombineOp<Bf16>, GatherRowsOp<float>, GatherRowsOp<Bf16>>;
INSTANTIATE_TYPED_TEST_SUITE_P(Moe, Operation, Operations);

}  // namespace
}  // namespace m2::test
