// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/attention_backward_operation.hpp"
#include "kernels/attention/attention_operation.hpp"
#include "kernels/operation_test.hpp"

namespace m2::test {
namespace {

using Operations = ::testing::Types<RopeOp<float>, RopeOp<Bf16>, RopeOp<float, RopeDirection::backward>,
                                    RopeOp<Bf16, RopeDirection::backward>, AttentionOp<float>, AttentionOp<Bf16>,
                                    AttentionBackwardOp<float>, AttentionBackwardOp<Bf16>>;
INSTANTIATE_TYPED_TEST_SUITE_P(Attention, Operation, Operations);

}  // namespace
}  // namespace m2::test
