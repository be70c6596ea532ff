// SPDX-License-Identifier: Apache-2.0
#include "kernels/rowwise/rowwise_operations.hpp"
#include "kernels/operation_test.hpp"
#include "kernels/rowwise/rowwise_backward_operations.hpp"

namespace m2::test {
namespace {

using Operations = ::testing::Types<EmbeddingOp<float, float>, EmbeddingOp<float, Bf16>, EmbeddingOp<Bf16, float>,
                                    EmbeddingOp<Bf16, Bf16>, RmsNormOp<float, RmsNormOrder::cast_last>,
                                    RmsNormOp<Bf16, RmsNormOrder::cast_last>, RmsNormOp<Bf16, RmsNormOrder::cast_first>,
                                    RmsNormBackwardOp<float>, RmsNormBackwardOp<Bf16>, ResidualAddOp<float>,
                                    ResidualAddOp<Bf16>, SwigluOp<float>, SwigluOp<Bf16>, SwigluBackwardOp<float>,
                                    SwigluBackwardOp<Bf16>, TokenLogprobOp, TopTokensOp<1>, TopTokensOp<40>>;
INSTANTIATE_TYPED_TEST_SUITE_P(Rowwise, Operation, Operations);

}  // namespace
}  // namespace m2::test
