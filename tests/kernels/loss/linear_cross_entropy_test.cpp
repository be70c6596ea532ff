// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.hpp"
#include "kernels/gemm/gemm_cases.hpp"
#include "kernels/loss/linear_cross_entropy.hpp"
#include "kernels/panels/panel_gemm.hpp"
#include "kernels/rowwise/token_logprob.hpp"

namespace m2::test {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr GemmProvider kProvider = GemmProvider::kokkos;
constexpr float kScale = 1.0f / 37;

struct LossShape {
  int num_rows, vocabulary, hidden_size;
  WeightLayout layout = WeightLayout::rows;
};

/// Hidden rows and targets, of which every third is no label, and what linear_cross_entropy makes of them.
template <class T>
struct LossCase {
  explicit LossCase(const LossShape& size)
      : shape(size),
        x(random_rows<T>(0, size.num_rows, size.hidden_size, 1)),
        w(1, {.num_rows = size.num_rows, .num_outputs = size.vocabulary, .num_columns = size.hidden_size}, 2),
        target(random_integers(0, size.num_rows, size.vocabulary, 3)),
        before(random_rows<float>(0, size.vocabulary, size.hidden_size, 4, 0.01f)),
        workspace(exec(), needed_bytes()),
        logprob_R("test::logprob", size.num_rows),
        dx_RD(filled<T>(size.num_rows, size.hidden_size, NAN)),
        dw_1VD("test::dw", 1, size.vocabulary, size.hidden_size) {
    for (int r = 1; r < size.num_rows; r += 3) target[r] = kNoLabel;
    w.weight.set_layout(exec(), size.layout);
  }

  LinearCrossEntropyBuffers<T> buffers(Workspace& from) const {
    return {kProvider, shape.num_rows, shape.vocabulary, shape.hidden_size, from};
  }
  std::int64_t needed_bytes() const {
    Workspace counter;
    buffers(counter);
    return counter.peak_bytes();
  }
  View2D<T> x_RD() const { return to_device<T>(std::span<const float>(x), shape.num_rows, shape.hidden_size); }

  void run(const ExecSpace& on = exec(), bool with_dx = true, bool with_dw = true) {
    const Workspace::Frame frame(workspace);
    Kokkos::deep_copy(logprob_R, NAN);
    RandomWeight<float>::copy(before, View1D<float>(dw_1VD.data(), dw_1VD.size()));
    linear_cross_entropy<T>(on, kProvider, x_RD(), w.weight, target, kScale, buffers(workspace), logprob_R,
                            with_dx ? dx_RD : View2D<T>(), with_dw ? dw_1VD : View3D<float>());
  }

  /// log softmax(x[r] w^T)[target[r]] in double; of x[r] and w with something added to them.
  template <class AddX, class AddW>
  double exact_logprob(int r, const AddX& add_x, const AddW& add_w) const {
    if (target[r] == kNoLabel) return 0.0;
    double total = 0.0, of_target = 0.0;
    for (int v = 0; v < shape.vocabulary; ++v) {
      double logit = 0.0;
      for (int d = 0; d < shape.hidden_size; ++d) {
        logit += (double(x[r * shape.hidden_size + d]) + add_x(d)) * (w.exact[v * shape.hidden_size + d] + add_w(v, d));
      }
      total += std::exp(logit);
      if (v == target[r]) of_target = logit;
    }
    return of_target - std::log(total);
  }

  LossShape shape;
  std::vector<float> x;
  RandomWeight<T> w;
  std::vector<int> target;
  std::vector<float> before;
  Workspace workspace;
  View1D<float> logprob_R;
  View2D<T> dx_RD;
  View3D<float> dw_1VD;
};

/// The derivative of f at 0, from a step on either side: off by some 2^-36 of f (rounding) and 2^-37 of its third
/// derivative, which is far below float's unit.
template <class F>
double central_difference(const F& f) {
  constexpr double kStep = 0x1p-17;
  return (f(kStep) - f(-kStep)) / (2 * kStep);
}

template <class T>
class LinearCrossEntropy : public ::testing::Test {};
using HiddenTypes = ::testing::Types<float, Bf16>;
TYPED_TEST_SUITE(LinearCrossEntropy, HiddenTypes);

template <class T>
std::vector<LossShape> loss_shapes() {
  std::vector<LossShape> shapes{{1, 5, 3}, {40, 129, 70}, {2100, 20, 8}};  // chunks of 1, 16 and 32 rows
  if (kDTypeOf<T> == DType::bfloat16 && panel_kernel() != nullptr)
    shapes.push_back({50, 128, 70, WeightLayout::panels});
  return shapes;
}

TYPED_TEST(LinearCrossEntropy, LogprobsHaveTheBitsOfAllRowsAtOnce) {
  for (const LossShape& shape : loss_shapes<TypeParam>()) {
    LossCase<TypeParam> loss(shape);
    loss.run();
    std::vector<int> any_target;
    for (const int target : loss.target) any_target.push_back(std::max(target, 0));
    const auto logits = filled<float>(shape.num_rows, shape.vocabulary, NAN);
    const View1D<float> logprob_R("test::logprob", shape.num_rows);
    gemm<TypeParam, float>(exec(), kProvider, loss.x_RD(), loss.w.weight, {}, logits);
    token_logprob(exec(), logits, integers_to_device<int>(any_target), logprob_R);
    auto expected = to_host(logprob_R);
    for (int r = 0; r < shape.num_rows; ++r) {
      if (loss.target[r] == kNoLabel) expected[r] = 0.0f;
    }
    EXPECT_TRUE(same_bits(to_host(loss.logprob_R), expected)) << shape.num_rows << " rows";
  }
}

/// How far gradients may be from exact ones. With u = 2^-24: a logit is off by at most (D + 1) u of its terms'
/// magnitude m, a softmax by twice that, by 2 u m for the rounding of its argument (which is at most 2 m), and by
/// (V + 6) u for exp, sum and quotient; two more roundings make the difference. Then dx is a chain over V and dw one
/// over R rows, to which every chunk adds another rounding of what is there.
struct Tolerance {
  template <class T>
  explicit Tolerance(const LossCase<T>& loss) {
    constexpr double kU = kUnit<float>;
    const LossShape& shape = loss.shape;
    const double largest_x = max_abs(loss.x), scale = kScale;
    double largest_w = 0.0;
    for (const double value : loss.w.exact) largest_w = std::max(largest_w, std::abs(value));
    const double m = shape.hidden_size * largest_x * largest_w;
    const double of_softmax = 2 * (shape.hidden_size + 1) * kU * m + 4 * kU * m + (shape.vocabulary + 6) * kU;
    // The softmax sums to 1, and the magnitudes of the differences to at most 2.
    const double row = scale * (of_softmax + 2 * shape.vocabulary * kU);
    dx = largest_w * (row + 2 * (shape.vocabulary + 1) * kU * scale) + kUnit<T> * 2 * scale * largest_w;
    const double largest_sum = shape.num_rows * largest_x * scale + max_abs(loss.before);
    dw = shape.num_rows * largest_x * (row + (shape.num_rows + 1) * kU * scale) + shape.num_rows * kU * largest_sum;
  }
  double dx, dw;
};

TYPED_TEST(LinearCrossEntropy, GradientsMatchCentralDifferences) {
  const LossShape shape{40, 67, 12};
  LossCase<TypeParam> loss(shape);
  loss.run();
  const Tolerance tolerance(loss);
  ASSERT_LT(tolerance.dx, 0.05 * max_abs(to_host(loss.dx_RD))) << "or gradients that are wrong could pass";
  ASSERT_LT(tolerance.dw, 0.05 * max_abs(to_host(loss.dw_1VD)));

  const auto nothing = [](auto...) { return 0.0; };
  std::vector<float> dx, dw(loss.before);
  for (int r = 0; r < shape.num_rows; ++r) {
    for (int d = 0; d < shape.hidden_size; ++d) {
      dx.push_back(float(central_difference([&](double step) {
        return -double(kScale) * loss.exact_logprob(r, [&](int at) { return at == d ? step : 0.0; }, nothing);
      })));
    }
  }
  for (int i = 0; i < shape.vocabulary * shape.hidden_size; ++i) {
    dw[i] += float(central_difference([&](double step) {
      double sum = 0.0;
      for (int r = 0; r < shape.num_rows; ++r) {
        sum +=
            loss.exact_logprob(r, nothing, [&](int v, int d) { return v * shape.hidden_size + d == i ? step : 0.0; });
      }
      return -double(kScale) * sum;
    }));
  }
  EXPECT_TRUE(all_close(to_host(loss.dx_RD), dx, tolerance.dx));
  EXPECT_TRUE(all_close(to_host(loss.dw_1VD), dw, tolerance.dw));
}

// A NaN in a row without a label would reach everything that reads it.
TYPED_TEST(LinearCrossEntropy, RowsWithoutALabelAreNotRead) {
  const LossShape shape{100, 129, 20};
  LossCase<TypeParam> loss(shape);
  loss.run();
  const auto logprob = to_host(loss.logprob_R), dx = to_host(loss.dx_RD), dw = to_host(loss.dw_1VD);
  for (int r = 0; r < shape.num_rows; ++r) {
    if (loss.target[r] != kNoLabel) continue;
    EXPECT_EQ(logprob[r], 0.0f);
    EXPECT_THAT(std::span(dx).subspan(r * shape.hidden_size, shape.hidden_size), Each(0.0f));
    std::fill_n(loss.x.begin() + r * shape.hidden_size, shape.hidden_size, NAN);
  }
  loss.run();
  EXPECT_TRUE(same_bits(to_host(loss.logprob_R), logprob));
  EXPECT_TRUE(same_bits(to_host(loss.dx_RD), dx));
  EXPECT_TRUE(same_bits(to_host(loss.dw_1VD), dw));
}

TYPED_TEST(LinearCrossEntropy, WithoutAnyLabelNothingIsAdded) {
  LossCase<TypeParam> loss({50, 33, 20});
  loss.target.assign(50, kNoLabel);
  loss.run();
  EXPECT_THAT(to_host(loss.logprob_R), Each(0.0f));
  EXPECT_THAT(to_host(loss.dx_RD), Each(0.0f));
  EXPECT_TRUE(same_bits(to_host(loss.dw_1VD), loss.before));
}

// The last labelled rows of a chunk, and rows without labels before, between and after them.
TYPED_TEST(LinearCrossEntropy, AnyNumberOfLabelsFillsItsChunks) {
  const LossShape shape{70, 40, 12};
  LossCase<TypeParam> all(shape);
  all.target = random_integers(0, shape.num_rows, shape.vocabulary, 3);
  all.run();
  const auto logprob = to_host(all.logprob_R), dx = to_host(all.dx_RD);
  for (const int num_labels : {1, 15, 16, 17, 32, 33}) {
    LossCase<TypeParam> some(shape);
    some.target.assign(70, kNoLabel);
    for (int i = 0; i < num_labels; ++i) some.target[3 + 2 * i] = all.target[3 + 2 * i];
    some.run();
    const auto some_logprob = to_host(some.logprob_R), some_dx = to_host(some.dx_RD);
    for (int r = 0; r < shape.num_rows; ++r) {
      const bool has_label = some.target[r] != kNoLabel;
      EXPECT_EQ(some_logprob[r], has_label ? logprob[r] : 0.0f) << num_labels << " labels, row " << r;
      for (int i = r * shape.hidden_size; i < (r + 1) * shape.hidden_size; ++i)
        EXPECT_EQ(some_dx[i], has_label ? dx[i] : 0.0f) << num_labels << " labels, row " << r;
    }
  }
}

TYPED_TEST(LinearCrossEntropy, OneAndTwoThreadsGiveTheSameBits) {
  LossCase<TypeParam> loss({150, 300, 140});
  loss.run(with_threads(1));
  const auto logprob = to_host(loss.logprob_R), dx = to_host(loss.dx_RD), dw = to_host(loss.dw_1VD);
  loss.run(with_threads(2));
  EXPECT_TRUE(same_bits(to_host(loss.logprob_R), logprob));
  EXPECT_TRUE(same_bits(to_host(loss.dx_RD), dx));
  EXPECT_TRUE(same_bits(to_host(loss.dw_1VD), dw));
}

TYPED_TEST(LinearCrossEntropy, GradientsThatAreNotAskedForAreNotComputed) {
  LossCase<TypeParam> loss({40, 129, 70});
  loss.run();
  const auto logprob = to_host(loss.logprob_R), dx = to_host(loss.dx_RD), dw = to_host(loss.dw_1VD);
  Kokkos::deep_copy(loss.dx_RD, TypeParam(NAN));
  loss.run(exec(), false, true);
  EXPECT_TRUE(same_bits(to_host(loss.dw_1VD), dw));
  EXPECT_TRUE(std::isnan(to_host(loss.dx_RD)[0]));
  loss.run(exec(), true, false);
  EXPECT_TRUE(same_bits(to_host(loss.dx_RD), dx));
  EXPECT_TRUE(same_bits(to_host(loss.dw_1VD), loss.before));
  loss.run(exec(), false, false);
  EXPECT_TRUE(same_bits(to_host(loss.logprob_R), logprob));
}

TEST(LinearCrossEntropyBuffers, HoldTheLogitsOfAChunk) {
  for (const auto& [rows, chunk] : {std::pair{0, 0}, {5, 5}, {16, 16}, {1000, 16}, {1024, 16}, {4096, 64}}) {
    Workspace counter;
    const LinearCrossEntropyBuffers<float> buffers(kProvider, rows, 1000, 7, counter);
    EXPECT_EQ(buffers.logits_CV.extent_int(0), chunk) << rows;
    EXPECT_GE(counter.peak_bytes(), std::int64_t(chunk) * 1000 * 4);
  }
}

TEST(LinearCrossEntropyChecks, NameBothNumbers) {
  const auto run = [](int num_rows, int num_targets, int target, int logprobs) {
    return [=] {
      LossCase<float> loss({10, 6, 4});
      const std::vector<int> targets(num_targets, target);
      linear_cross_entropy<float>(exec(), kProvider, filled<float>(num_rows, 4, 0), loss.w.weight, targets, 1.0f,
                                  loss.buffers(loss.workspace), View1D<float>("test::logprob", logprobs), {}, {});
    };
  };
  const auto says = [](const char* text) { return ThrowsMessage<Error>(HasSubstr(text)); };
  EXPECT_THAT(run(10, 9, 0, 10), says("linear_cross_entropy: elements of target_R (9) and rows of x_RD (10)"));
  EXPECT_THAT(run(10, 10, 0, 9), says("linear_cross_entropy: elements of logprob_R (9) and rows of x_RD (10)"));
  EXPECT_THAT(run(11, 11, 0, 11), says("linear_cross_entropy: the buffers are for 10 rows, x_RD has 11"));
  EXPECT_THAT(run(10, 10, 6, 10), says("the target of row 0 is 6; expected are -100 (no label) and 0 to 5"));
  EXPECT_THAT(run(10, 10, -1, 10), says("the target of row 0 is -1; expected are -100"));
}

}  // namespace
}  // namespace m2::test
