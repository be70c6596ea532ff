// SPDX-License-Identifier: Apache-2.0
// A shape that does not fit is refused with both numbers.
#include <gmock/gmock.h>

#include "core/error.hpp"
#include "kernels/attention/attention.hpp"
#include "kernels/attention/attention_backward.hpp"
#include "kernels/attention/rope.hpp"
#include "kernels/moe/permute.hpp"
#include "kernels/moe/router.hpp"
#include "kernels/rowwise/embedding.hpp"
#include "kernels/rowwise/residual_add.hpp"
#include "kernels/rowwise/rms_norm.hpp"
#include "kernels/rowwise/swiglu.hpp"
#include "kernels/rowwise/token_logprob.hpp"
#include "kernels/rowwise/top_tokens.hpp"
#include "support/exec.hpp"

namespace m2::test {
namespace {

template <class Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing thrown";
}

View1D<int> integers(int count) { return View1D<int>("test::integers", count); }
View1D<float> vector(int count) { return View1D<float>("test::vector", count); }
View2D<float> matrix(int rows, int columns) { return View2D<float>("test::matrix", rows, columns); }
View2D<int> integers(int rows, int columns) { return View2D<int>("test::integers", rows, columns); }

KvPages<float> cache(int num_heads, int head_size, int page = kKvPage) {
  return {View4D<float>("test::k", 2, num_heads, head_size, page),
          View4D<float>("test::v", 2, num_heads, page, head_size)};
}

TEST(Checks, OfTheElementwiseOperations) {
  const Weight table = Weight::allocate(exec(), DType::float32, 1, 10, 8, "test::table");
  const Weight fp8 = Weight::allocate(exec(), DType::float8_e4m3fn, 1, 10, 8, "test::table");
  EXPECT_EQ(message_of([&] { embedding<float>(exec(), integers(3), table, matrix(3, 7)); }),
            "embedding: columns of table_VD (8) and columns of out_TD (7) must agree");
  EXPECT_EQ(message_of([&] { embedding<float>(exec(), integers(2), table, matrix(3, 8)); }),
            "embedding: elements of token_T (2) and rows of out_TD (3) must agree");
  EXPECT_THAT(message_of([&] { embedding<float>(exec(), integers(3), fp8, matrix(3, 8)); }),
              ::testing::HasSubstr("float8_e4m3fn"));
  EXPECT_EQ(message_of([&] {
              rms_norm<float>(exec(), matrix(2, 8), vector(7), 1e-6f, RmsNormOrder::cast_last, matrix(2, 8));
            }),
            "rms_norm: elements of weight_D (7) and columns of x_TD (8) must agree");
  EXPECT_EQ(message_of([&] {
              rms_norm<float>(exec(), matrix(2, 8), vector(8), 1e-6f, RmsNormOrder::cast_last, matrix(3, 8));
            }),
            "rms_norm: x_TD (2 x 8) and out_TD (3 x 8) must have one shape");
  EXPECT_EQ(message_of([&] { residual_add<float>(exec(), matrix(2, 8), matrix(2, 9), matrix(2, 8)); }),
            "residual_add: x_TD (2 x 8) and h_TD (2 x 9) must have one shape");
  EXPECT_EQ(message_of([&] { swiglu<float>(exec(), matrix(2, 9), vector(0), matrix(2, 5)); }),
            "swiglu: columns of gate_up_R2F (9) and twice the columns of out_RF (10) must agree");
  EXPECT_EQ(message_of([&] { swiglu<float>(exec(), matrix(2, 10), vector(3), matrix(2, 5)); }),
            "swiglu: elements of row_weight_R (3) and rows of out_RF (2) must agree");
  EXPECT_EQ(message_of([&] { token_logprob(exec(), matrix(2, 10), integers(3), vector(2)); }),
            "token_logprob: elements of target_T (3) and rows of logits_TV (2) must agree");
}

TEST(Checks, OfTheTopTokens) {
  const auto top = [](int num_never, int scratch_rows, int scratch_columns, int top_rows) {
    top_tokens(exec(), matrix(2, 1025), View1D<std::uint8_t>("test::never", num_never),
               View2D<TokenScore>("test::scratch", scratch_rows, scratch_columns),
               View2D<TokenScore>("test::top", top_rows, 3));
  };
  EXPECT_EQ(message_of([&] { top(1024, 2, 2, 2); }),
            "top_tokens: elements of never_V (1024) and columns of logits_BV (1025) must agree");
  EXPECT_EQ(message_of([&] { top(1025, 3, 2, 2); }),
            "top_tokens: rows of scratch_BN (3) and rows of logits_BV (2) must agree");
  EXPECT_EQ(message_of([&] { top(1025, 2, 1, 2); }),
            "top_tokens: columns of scratch_BN (1) and chunks of a row (2) must agree");
  EXPECT_EQ(message_of([&] { top(1025, 2, 2, 3); }),
            "top_tokens: rows of top_BK (3) and rows of logits_BV (2) must agree");
}

TEST(Checks, OfTheRotation) {
  EXPECT_EQ(message_of([&] { rope_table(exec(), integers(2), 7, 1e4, false, matrix(2, 3), matrix(2, 3)); }),
            "rope_table: rotary_dim is 7, expected a positive even number");
  EXPECT_EQ(message_of([&] { rope_table(exec(), integers(2), 8, 1e4, false, matrix(2, 3), matrix(2, 3)); }),
            "rope_table: columns of cos_TJ (3) and half of rotary_dim (4) must agree");
  EXPECT_EQ(message_of([&] {
              rope<float>(exec(), matrix(2, 4), matrix(2, 4), 6, false, RopeDirection::forward, matrix(2, 12));
            }),
            "rope: 8 rotated dims exceed the head size 6");
  EXPECT_EQ(message_of([&] {
              rope<float>(exec(), matrix(2, 2), matrix(2, 2), 6, false, RopeDirection::forward, matrix(2, 13));
            }),
            "rope: x_TN has 13 columns, not a multiple of the head size 6");
}

TEST(Checks, OfTheCacheAndAttention) {
  const BatchLayout layout{integers(3), integers(3), integers(1, 2)};
  EXPECT_EQ(message_of([&] { kv_write<float>(exec(), matrix(3, 7), matrix(3, 7), layout, cache(2, 4)); }),
            "kv_write: columns of k_TN (7) and heads x head size of the cache (8) must agree");
  EXPECT_EQ(message_of([&] { kv_write<float>(exec(), matrix(3, 8), matrix(3, 8), layout, cache(2, 4, 32)); }),
            "kv_write: positions of a page of k_NGCP (32) and kKvPage (64) must agree");
  EXPECT_EQ(message_of([&] { kv_write<float>(exec(), matrix(4, 8), matrix(4, 8), layout, cache(2, 4)); }),
            "kv_write: elements of sequence_T (3) and tokens (4) must agree");
  EXPECT_EQ(message_of([&] { attention<float>(exec(), matrix(3, 12), cache(2, 4), layout, 1.0f, matrix(3, 12)); }),
            "attention: q_TN has 12 columns, not a multiple of 2 key/value heads x head size 4");
  EXPECT_EQ(message_of([&] { attention<float>(exec(), matrix(3, 300), cache(1, 300), layout, 1.0f, matrix(3, 300)); }),
            "attention: the head size is 300, expected 1 to 256");
  EXPECT_EQ(message_of([&] { attention<float>(exec(), matrix(3, 8), cache(2, 4), layout, 1.0f, matrix(2, 8)); }),
            "attention: q_TN (3 x 8) and out_TN (2 x 8) must have one shape");
  EXPECT_EQ(message_of(
                [&] { attention<float>(exec(), matrix(3, 8), cache(2, 4), layout, 1.0f, matrix(3, 8), matrix(3, 3)); }),
            "attention: columns of lse_TH (3) and query heads (2) must agree");
}

TEST(Checks, OfAttentionBackward) {
  const BatchLayout layout{integers(3), integers(3), integers(1, 2)};
  const auto message = [&](int dout_rows, int kv_columns, int lse_heads, int scratch, int begins) {
    return message_of([&] {
      attention_backward<float>(exec(), matrix(3, 16), cache(2, 4), layout, integers(begins), 1.0f, matrix(3, 16),
                                matrix(dout_rows, 16), matrix(3, lse_heads), vector(scratch), matrix(3, 16),
                                matrix(3, kv_columns), matrix(3, kv_columns));
    });
  };
  EXPECT_EQ(message(2, 8, 4, 12, 2), "attention_backward: q_TN (3 x 16) and dout_TN (2 x 16) must have one shape");
  EXPECT_EQ(message(3, 16, 4, 12, 2),
            "attention_backward: columns of dk_TM (16) and heads x head size of the cache (8) must agree");
  EXPECT_EQ(message(3, 8, 3, 9, 2), "attention_backward: columns of lse_TH (3) and query heads (4) must agree");
  EXPECT_EQ(message(3, 8, 4, 11, 2),
            "attention_backward: elements of scratch (11) and attention_backward_scratch() (12) must agree");
  EXPECT_EQ(message(3, 8, 4, 12, 1),
            "attention_backward: sequence_begin_B1 has 1 elements for 3 tokens, expected one more than there are "
            "sequences");
}

TEST(Checks, OfTheRouter) {
  EXPECT_EQ(message_of([&] { route(exec(), matrix(2, 8), vector(7), {}, integers(2, 3), matrix(2, 3)); }),
            "route: elements of selection_bias_E (7) and columns of logits_TE (8) must agree");
  EXPECT_EQ(message_of([&] { route(exec(), matrix(2, 8), vector(8), {}, integers(2, 9), matrix(2, 9)); }),
            "route: 9 experts per token, but there are 8 experts");
  EXPECT_EQ(message_of([&] { route(exec(), matrix(2, 100), vector(0), {}, integers(2, 65), matrix(2, 65)); }),
            "route: 65 experts per token, expected 1 to 64");
  EXPECT_EQ(message_of([&] { route(exec(), matrix(2, 1025), vector(0), {}, integers(2, 8), matrix(2, 8)); }),
            "route: 1025 experts, at most 1024 are supported");
  EXPECT_EQ(message_of([&] { route_balanced(exec(), 0, 8, 1.5f, 0, integers(2, 3), matrix(2, 3)); }),
            "route_balanced: noise is 1.5, expected 0 to 1");
}

TEST(Checks, OfThePermutation) {
  const auto plan = [](int scratch, int offsets, int rows) {
    permute_plan(exec(), integers(4, 2), 5, integers(scratch), integers(offsets), integers(4, 2), integers(rows));
  };
  EXPECT_EQ(message_of([&] { plan(4, 6, 8); }), "permute_plan: scratch has 4 elements, 5 are needed");
  EXPECT_EQ(message_of([&] { plan(5, 5, 8); }),
            "permute_plan: elements of offset_E1 (5) and experts + 1 (6) must agree");
  EXPECT_EQ(message_of([&] { plan(5, 6, 7); }),
            "permute_plan: elements of token_R (7) and elements of expert_TK (8) must agree");
  EXPECT_EQ(message_of([&] { permute_weights(exec(), matrix(4, 2), integers(4, 2), vector(7)); }),
            "permute_weights: elements of weight_R (7) and elements of weight_TK (8) must agree");
  EXPECT_EQ(message_of([&] { gather_weights(exec(), vector(8), integers(4, 2), matrix(4, 3)); }),
            "gather_weights: weight_TK (4 x 3) and row_TK (4 x 2) must have one shape");
  EXPECT_EQ(message_of([&] { gather_weights(exec(), vector(9), integers(4, 2), matrix(4, 2)); }),
            "gather_weights: weight_R has 9 elements, row_TK only 8");
  EXPECT_EQ(message_of([&] { gather_rows<float>(exec(), matrix(4, 8), integers(5), matrix(6, 8)); }),
            "gather_rows: elements of token_R (5) and rows of out_RD (6) must agree");
  EXPECT_EQ(message_of([&] { combine<float>(exec(), matrix(9, 8), integers(4, 2), matrix(4, 2), matrix(4, 8)); }),
            "combine: y_RD has 9 rows, row_TK only 8 elements");
}

}  // namespace
}  // namespace m2::test
