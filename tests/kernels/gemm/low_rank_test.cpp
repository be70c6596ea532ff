// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm/low_rank.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

struct Shape {
  std::vector<int> offsets;  // rows of each matrix; of one matrix {0, R}
  int in, out, rank;

  int num_rows() const { return offsets.back(); }
  int num_matrices() const { return int(offsets.size()) - 1; }
  int matrix_of(int r) const {
    int e = 0;
    while (offsets[e + 1] <= r) ++e;
    return e;
  }
};

template <class T>
constexpr double kHalfUnit = sizeof(T) == 2 ? 0x1p-9 : 0x1p-24;

Weight weight_of(const std::vector<float>& values, int matrices, int rows, int columns) {
  const Weight weight = Weight::allocate(exec(), DType::float32, matrices, rows, columns, "test::weight");
  Kokkos::deep_copy(exec(), View1D<float>(weight.values<float>().data(), values.size()), to_device<float>(values));
  exec().fence();
  return weight;
}

template <class T>
std::vector<float> rounded(std::vector<float> values) {
  for (float& value : values) value = float(T(value));
  return values;
}

// An adapter and what it is applied to.
template <class T, class Y>
struct Problem {
  Shape shape;
  std::vector<float> x, a, b, y;
  LowRankAdapter adapter;
  View2D<T> x_RK;
  View2D<Y> y_RN;
  View1D<int> offset_E1;
  View1D<Y> hidden, dhidden;

  explicit Problem(const Shape& of)
      : shape(of),
        x(rounded<T>(normal(std::int64_t(of.num_rows()) * of.in, 1))),
        a(normal(std::int64_t(of.num_matrices()) * of.rank * of.in, 2)),
        b(normal(std::int64_t(of.num_matrices()) * of.rank * of.out, 3)),
        y(rounded<Y>(normal(std::int64_t(of.num_rows()) * of.out, 4))),
        x_RK(to_device<T>(x, of.num_rows(), of.in)),
        y_RN(to_device<Y>(y, of.num_rows(), of.out)),
        hidden("test::hidden", std::size_t(of.num_rows()) * of.rank),
        dhidden("test::dhidden", std::size_t(of.num_rows()) * of.rank) {
    adapter.a = weight_of(a, of.num_matrices(), of.rank, of.in);
    adapter.b = weight_of(b, of.num_matrices(), of.rank, of.out);
    adapter.alpha = 1.5 * of.rank;
    if (of.num_matrices() > 1) offset_E1 = integers_to_device<int>(of.offsets);
  }

  double at(const std::vector<float>& factor, int e, int j, int i, int width) const {
    return double(factor[(std::size_t(e) * shape.rank + j) * width + i]);
  }
};

/// out[r][i] of `before` and the sum over j of scale (sum over k of v[r][k] first[e][j][k]) second[e][j][i]: exact, and
/// how far float arithmetic may be away: a chain over k, two roundings of the hidden value, a chain over ranks, two
/// roundings of the result.
template <class H, class Out>
void expect_low_rank(const Shape& shape, const std::vector<float>& v, int from, const std::vector<float>& first, int to,
                     const std::vector<float>& second, const std::vector<float>& before,
                     const std::vector<float>& actual) {
  ASSERT_EQ(actual.size(), before.size());
  for (int r = 0; r < shape.num_rows(); ++r) {
    const int e = shape.matrix_of(r);
    for (int i = 0; i < to; ++i) {
      double exact = 0.0, terms = 0.0;
      for (int j = 0; j < shape.rank; ++j) {
        double hidden = 0.0, hidden_terms = 0.0;
        for (int k = 0; k < from; ++k) {
          const double term =
              double(v[std::size_t(r) * from + k]) * double(first[(std::size_t(e) * shape.rank + j) * from + k]);
          hidden += term;
          hidden_terms += std::abs(term);
        }
        const double factor = 1.5 * double(second[(std::size_t(e) * shape.rank + j) * to + i]);
        exact += hidden * factor;
        terms += hidden_terms * std::abs(factor);
      }
      const std::size_t place = std::size_t(r) * to + i;
      const double expected = double(before[place]) + exact;
      const double tolerance =
          terms * ((from + shape.rank + 4) * 0x1p-24 + 2 * kHalfUnit<H>)+2 * kHalfUnit<Out> * std::abs(expected);
      ASSERT_NEAR(actual[place], expected, tolerance) << r << ' ' << i;
    }
  }
}

const std::vector<Shape> kShapes{{{0, 7}, 33, 70, 3}, {{0, 2, 2, 9, 10}, 70, 131, 5}, {{0, 0, 3}, 64, 64, 17}};

template <class T, class Y>
void expect_oracle() {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(fmt::format("{} matrices, {} -> {}, rank {}", shape.num_matrices(), shape.in, shape.out, shape.rank));
    const Problem<T, Y> problem(shape);
    low_rank_forward<T, Y>(exec(), problem.adapter, problem.x_RK, problem.offset_E1, problem.hidden, problem.y_RN);
    expect_low_rank<Y, Y>(shape, problem.x, shape.in, problem.a, shape.out, problem.b, problem.y,
                          to_host(problem.y_RN));

    const Problem<T, Y> back(shape);
    low_rank_backward_input<T, Y>(exec(), back.adapter, back.y_RN, back.offset_E1, back.dhidden, back.x_RK);
    expect_low_rank<Y, T>(shape, back.y, shape.out, back.b, shape.in, back.a, back.x, to_host(back.x_RK));
  }
}

TEST(LowRank, FollowsThePlainLoops) {
  expect_oracle<float, float>();
  expect_oracle<Bf16, Bf16>();
  expect_oracle<Bf16, float>();
}

// The loss <dy, y> is linear in B and in A: along B its slope is itself, and so it is along A.
TEST(LowRank, GradientsOfAAndB) {
  for (const Shape& shape : kShapes) {
    Problem<float, float> problem(shape);
    problem.adapter.grad.a = View3D<float>("test::da", shape.num_matrices(), shape.rank, shape.in);
    problem.adapter.grad.b = View3D<float>("test::db", shape.num_matrices(), shape.rank, shape.out);
    const View2D<float> added("test::added", shape.num_rows(), shape.out), dx("test::dx", shape.num_rows(), shape.in);
    const LowRankAdapter& adapter = problem.adapter;
    low_rank_forward<float, float>(exec(), adapter, problem.x_RK, problem.offset_E1, problem.hidden, added);
    low_rank_backward_input<float, float>(exec(), adapter, problem.y_RN, problem.offset_E1, problem.dhidden, dx);
    low_rank_backward_weights<float, float>(exec(), adapter, problem.x_RK, problem.y_RN, problem.offset_E1,
                                            problem.hidden, problem.dhidden);
    const auto product = [](const std::vector<float>& u, const std::vector<float>& v, double& magnitude) {
      double sum = 0.0;
      magnitude = 0.0;
      for (std::size_t i = 0; i < u.size(); ++i) sum += double(u[i]) * v[i], magnitude += std::abs(double(u[i]) * v[i]);
      return sum;
    };
    double loss_terms, a_terms, b_terms;
    const double loss = product(to_host(added), problem.y, loss_terms);
    const double along_a = product(to_host(adapter.grad.a), problem.a, a_terms);
    const double along_b = product(to_host(adapter.grad.b), problem.b, b_terms);
    // Each term is a chain of at most in + rank + rows + 4 roundings.
    const double roundings = (shape.in + shape.out + shape.rank + shape.num_rows() + 4) * 0x1p-24;
    EXPECT_NEAR(along_a, loss, roundings * (loss_terms + a_terms) * shape.rank);
    EXPECT_NEAR(along_b, loss, roundings * (loss_terms + b_terms) * shape.rank);
    EXPECT_GT(std::abs(loss), 1.0);
  }
}

TEST(LowRank, ZeroAndNothingKeepBits) {
  const Shape shape = kShapes[1];
  Problem<Bf16, Bf16> problem(shape);
  Kokkos::deep_copy(exec(), View1D<Bf16>(problem.y_RN.data(), 1), Bf16(-0.0f));
  const std::vector<float> before = to_host(problem.y_RN);
  Kokkos::deep_copy(exec(), problem.adapter.b.values<float>(), 0.0f);
  low_rank_forward<Bf16, Bf16>(exec(), problem.adapter, problem.x_RK, problem.offset_E1, problem.hidden, problem.y_RN);
  EXPECT_TRUE(same_bits(to_host(problem.y_RN), before));
  low_rank_forward<Bf16, Bf16>(exec(), LowRankAdapter(), problem.x_RK, problem.offset_E1, {}, problem.y_RN);
  EXPECT_TRUE(same_bits(to_host(problem.y_RN), before));
}

TEST(LowRank, MergesIntoTheWeight) {
  const Shape shape = kShapes[1];
  const Problem<float, float> problem(shape);
  const int matrices = shape.num_matrices();
  const std::vector<float> before = normal(std::int64_t(matrices) * shape.out * shape.in, 5);
  const View1D<float> memory = to_device<float>(before);
  low_rank_merge(exec(), problem.adapter, View3D<float>(memory.data(), matrices, shape.out, shape.in));
  const std::vector<float> after = to_host(memory);
  for (int e = 0; e < matrices; ++e) {
    for (int n = 0; n < shape.out; ++n) {
      for (int k = 0; k < shape.in; ++k) {
        double sum = 0.0, terms = 0.0;
        for (int j = 0; j < shape.rank; ++j) {
          const double term =
              1.5 * problem.at(problem.b, e, j, n, shape.out) * problem.at(problem.a, e, j, k, shape.in);
          sum += term;
          terms += std::abs(term);
        }
        const std::size_t place = (std::size_t(e) * shape.out + n) * shape.in + k;
        ASSERT_NEAR(after[place], before[place] + sum, (shape.rank + 3) * 0x1p-24 * (terms + std::abs(before[place])));
      }
    }
  }
}

TEST(LowRank, RefusesShapesThatDisagree) {
  const Problem<float, float> problem(kShapes[0]);
  const View2D<float> wide("test::wide", 7, 71);
  const auto says = [](const char* text) { return ThrowsMessage<Error>(HasSubstr(text)); };
  const auto forward = [&](const View2D<float>& y, const View1D<float>& hidden) {
    return [&problem, y, hidden] {
      low_rank_forward<float, float>(exec(), problem.adapter, problem.x_RK, problem.offset_E1, hidden, y);
    };
  };
  EXPECT_THAT(forward(wide, problem.hidden), says("columns of the outputs (71)"));
  EXPECT_THAT(forward(problem.y_RN, View1D<float>("test::small", 20)), says("hidden has 20 elements, expected 7 x 3"));
}

}  // namespace
}  // namespace m2::test
