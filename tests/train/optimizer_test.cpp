// SPDX-License-Identifier: Apache-2.0
#include "train/optimizer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/error.hpp"
#include "kernels/optimizer/adamw.hpp"
#include "kernels/weights/store_weight.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"

namespace m2::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr int kExperts = 2, kRows = 128, kColumns = 70, kWidth = 33;
constexpr std::int64_t kValues = std::int64_t(kExperts) * kRows * kColumns;

/// A stack of matrices of `dtype` and a vector, with gradients.
struct Model {
  TrainedParameter experts, norm;

  explicit Model(DType dtype, WeightLayout layout = WeightLayout::rows) {
    experts.schema = {"layers/0/moe/experts/down", ParameterKind::experts, {kExperts, kRows, kColumns}};
    experts.weight = Weight::allocate(exec(), dtype, kExperts, kRows, kColumns, "test::weight", 1, layout);
    experts.gradient = View3D<float>("test::gradient", kExperts, kRows, kColumns);
    const View3D<float> start("test::start", kExperts, kRows, kColumns);
    fill(start, normal(kValues, 1));
    store_weight(exec(), start, experts.weight);
    fill(experts.gradient, normal(kValues, 2));
    norm.schema = {"norm", ParameterKind::norm, {kWidth}};
    norm.vector = to_device<float>(normal(kWidth, 3));
    norm.gradient = View3D<float>("test::gradient", 1, 1, kWidth);
    fill(norm.gradient, normal(kWidth, 4));
    exec().fence("test::model");
  }

  static void fill(const View3D<float>& view, const std::vector<float>& values) {
    Kokkos::deep_copy(View1D<float>(view.data(), view.size()), to_device<float>(values));
  }

  std::vector<float> weights() const {
    const View3D<float> out("test::loaded", kExperts, kRows, kColumns);
    load_weight(exec(), experts.weight, out);
    return to_host(out);
  }

  Optimizer optimizer(const OptimizerSection& section, const ExecSpace& instance = exec()) const {
    return Optimizer(instance, section, {experts, norm}, {{.weight_decay = 0.1}, {.learning_rate_factor = 0.5}}, 17);
  }
};

std::vector<float> floats(const StateTensor& tensor) {
  exec().fence("test::state");
  const std::size_t size = std::size_t(tensor.bytes()) / sizeof(float);
  return to_host(View1D<float>(reinterpret_cast<float*>(tensor.data), size));
}

TEST(ClipFactor, ScalesDownAndNeverUp) {
  EXPECT_EQ(clip_factor(4.0, 1.0), 0.25);
  EXPECT_EQ(clip_factor(0.5, 1.0), 1.0);
  EXPECT_EQ(clip_factor(0.0, 1.0), 1.0);
}

TEST(Optimizer, GradientNormIsThatOfAllGradients) {
  const Model model(DType::float32);
  Optimizer optimizer = model.optimizer({});
  double sum = 0.0;
  for (const auto& gradient : {model.experts.gradient, model.norm.gradient}) {
    for (const float g : to_host(gradient)) sum += double(g) * g;
  }
  // Sums of positive numbers in double, of fewer than kValues additions.
  EXPECT_NEAR(optimizer.gradient_norm(), std::sqrt(sum), std::sqrt(sum) * 2 * kValues * 0x1p-53);
  auto gradient = normal(kWidth, 4);
  gradient[7] = -std::numeric_limits<float>::infinity();
  Model::fill(model.norm.gradient, gradient);
  EXPECT_EQ(optimizer.gradient_norm(), std::numeric_limits<double>::infinity());
  gradient[3] = std::numeric_limits<float>::quiet_NaN();
  Model::fill(model.norm.gradient, gradient);
  EXPECT_TRUE(std::isnan(optimizer.gradient_norm()));
}

/// Two steps of adamw() on arrays, with the factors of Model::optimizer().
std::vector<float> by_hand(std::vector<float> start, const std::vector<float>& gradient, double rate, double decay) {
  const auto p = to_device<float>(start), g = to_device<float>(gradient);
  const View1D<float> m("test::m", start.size()), v("test::v", start.size());
  for (const int step : {1, 2}) {
    adamw<float>(exec(), {.learning_rate = rate, .weight_decay = decay, .gradient_scale = 0.5, .step = step}, g, p, m,
                 v);
  }
  exec().fence("test::by_hand");
  return to_host(p);
}

class OptimizerDTypes : public ::testing::TestWithParam<std::pair<DType, WeightLayout>> {};

TEST_P(OptimizerDTypes, UpdatesMastersAndWritesWeights) {
  const auto [dtype, layout] = GetParam();
  if (layout == WeightLayout::panels && !panels_fit(dtype, kRows, kColumns, 1)) GTEST_SKIP() << "no panels here";
  const Model model(dtype, layout);
  const auto start = model.weights(), start_D = to_host(model.norm.vector);
  Optimizer optimizer = model.optimizer({});
  optimizer.step(0.01, 0.5, 1);
  optimizer.step(0.01, 0.5, 2);
  const auto master = by_hand(start, to_host(model.experts.gradient), 0.01, 0.1);
  const View3D<float> master_ENK("test::master", kExperts, kRows, kColumns);
  Model::fill(master_ENK, master);
  const Model expected(dtype, layout);
  store_weight(exec(), master_ENK, expected.experts.weight);
  EXPECT_TRUE(same_bits(model.weights(), expected.weights()));
  EXPECT_FALSE(same_bits(model.weights(), start));
  EXPECT_TRUE(same_bits(to_host(model.norm.vector), by_hand(start_D, to_host(model.norm.gradient), 0.005, 0.0)));
  const auto state = optimizer.state();
  if (dtype != DType::float32) {
    EXPECT_TRUE(same_bits(floats(state[2]), master));
  }
}

INSTANTIATE_TEST_SUITE_P(All, OptimizerDTypes,
                         ::testing::Values(std::pair{DType::float32, WeightLayout::rows},
                                           std::pair{DType::bfloat16, WeightLayout::rows},
                                           std::pair{DType::bfloat16, WeightLayout::panels},
                                           std::pair{DType::float8_e4m3fn, WeightLayout::rows},
                                           std::pair{DType::float8_e4m3fn, WeightLayout::panels}));

TEST(Optimizer, StateNamesWhatACheckpointHolds) {
  const Model model(DType::bfloat16);
  const auto names = [&](const OptimizerSection& section) {
    std::vector<std::string> out;
    for (const StateTensor& tensor : model.optimizer(section).state()) out.push_back(tensor.name);
    return out;
  };
  EXPECT_THAT(names({}), ElementsAre("layers/0/moe/experts/down/m", "layers/0/moe/experts/down/v",
                                     "layers/0/moe/experts/down/master", "norm/m", "norm/v"));
  EXPECT_THAT(names({.name = OptimizerName::sgd, .groups = {}}),
              ElementsAre("layers/0/moe/experts/down/momentum", "layers/0/moe/experts/down/master", "norm/momentum"));
  const auto state = model.optimizer({.moments = MomentsDType::bfloat16, .groups = {}}).state();
  EXPECT_EQ(state[0].dtype, DType::bfloat16);
  EXPECT_THAT(state[0].shape, ElementsAre(kExperts, kRows, kColumns));
  EXPECT_EQ(state[0].bytes(), 2 * kValues);
  EXPECT_EQ(state[2].dtype, DType::float32);
  EXPECT_THAT(state[4].shape, ElementsAre(kWidth));
}

TEST(Optimizer, PlansTheBytesOfItsState) {
  for (const DType dtype : {DType::float32, DType::bfloat16, DType::float8_e4m3fn}) {
    for (const OptimizerName name : {OptimizerName::adamw, OptimizerName::sgd}) {
      for (const MomentsDType moments : {MomentsDType::float32, MomentsDType::bfloat16}) {
        const OptimizerSection section{.name = name, .moments = moments, .groups = {}};
        std::int64_t held = 0;
        for (const StateTensor& tensor : Model(dtype).optimizer(section).state()) held += tensor.bytes();
        OptimizerBytes planned = Optimizer::bytes(section, {kExperts, kRows, kColumns}, dtype);
        planned += Optimizer::bytes(section, {kWidth}, DType::float32);
        EXPECT_EQ(planned.masters + planned.moments, held);
        EXPECT_EQ(planned.masters, dtype == DType::float32 ? 0 : 4 * kValues);
      }
    }
  }
}

// Copying the state of one optimizer into another continues it: moments in bfloat16 and their rounding included.
TEST(Optimizer, ContinuesFromItsStateWithTheSameBits) {
  const OptimizerSection section{.moments = MomentsDType::bfloat16, .groups = {}};
  const Model straight(DType::bfloat16), resumed(DType::bfloat16);
  Optimizer all = straight.optimizer(section), second = resumed.optimizer(section);
  {
    Optimizer first = resumed.optimizer(section);
    first.step(0.01, 1.0, 1);
    const auto from = first.state(), to = second.state();
    for (std::size_t i = 0; i < from.size(); ++i) {
      Kokkos::deep_copy(exec(), View1D<std::byte>(to[i].data, std::size_t(to[i].bytes())),
                        View1D<std::byte>(from[i].data, std::size_t(from[i].bytes())));
    }
    exec().fence("test::state");
  }
  second.step(0.01, 1.0, 2);
  all.step(0.01, 1.0, 1);
  all.step(0.01, 1.0, 2);
  EXPECT_TRUE(same_bits(resumed.weights(), straight.weights()));
  EXPECT_TRUE(same_bits(floats(second.state()[2]), floats(all.state()[2])));
  EXPECT_TRUE(same_bits(to_host(resumed.norm.vector), to_host(straight.norm.vector)));
}

TEST(Optimizer, OneAndTwoThreadsGiveTheSameBits) {
  const Model one(DType::bfloat16), two(DType::bfloat16);
  Optimizer by_one = one.optimizer({.name = OptimizerName::sgd, .groups = {}}, with_threads(1));
  Optimizer by_two = two.optimizer({.name = OptimizerName::sgd, .groups = {}}, with_threads(2));
  EXPECT_EQ(by_one.gradient_norm(), by_two.gradient_norm());
  by_one.step(0.01, 1.0, 1);
  by_two.step(0.01, 1.0, 1);
  EXPECT_EQ(by_one.updates_lost(), by_two.updates_lost());
  EXPECT_TRUE(same_bits(one.weights(), two.weights()));
}

TEST(Optimizer, CountsLostUpdatesOfWeightsInBfloat16) {
  const Model model(DType::bfloat16);
  const auto before = model.weights();
  Optimizer optimizer = model.optimizer({});
  EXPECT_EQ(optimizer.updates_lost(), 0);
  optimizer.step(1e-3, 1.0, 1);
  const auto after = model.weights(), master = floats(optimizer.state()[2]);
  std::int64_t expected = 0;
  for (std::size_t i = 0; i < before.size(); ++i) expected += before[i] == after[i] && master[i] != before[i];
  EXPECT_EQ(optimizer.updates_lost(), expected);
  EXPECT_GT(expected, 0);
  optimizer.step(0.0, 1.0, 2);
  EXPECT_EQ(optimizer.updates_lost(), 0);

  Optimizer in_float32 = Model(DType::float32).optimizer({});
  in_float32.step(1e-3, 1.0, 1);
  EXPECT_EQ(in_float32.updates_lost(), 0);
}

TEST(Optimizer, AsksBeforeItTouchesAParameter) {
  const Model model(DType::float32);
  Optimizer optimizer = model.optimizer({});
  const auto start = model.weights(), start_D = to_host(model.norm.vector);
  std::vector<std::size_t> asked;
  optimizer.set_before_update([&](std::size_t i) {
    asked.push_back(i);
    EXPECT_EQ(bool(same_bits(model.weights(), start)), i == 0);
    EXPECT_TRUE(same_bits(to_host(model.norm.vector), start_D));
  });
  optimizer.step(0.1, 1.0, 1);
  EXPECT_THAT(asked, ElementsAre(0, 1));
  EXPECT_FALSE(same_bits(to_host(model.norm.vector), start_D));
}

TEST(Optimizer, RefusesFrozenParametersAndOtherSizes) {
  Model model(DType::float32);
  EXPECT_THAT([&] { Optimizer(exec(), {}, {model.norm}, {{.is_trained = false}}, 0); },
              ThrowsMessage<Error>(HasSubstr("'norm' is frozen")));
  EXPECT_THAT([&] { Optimizer(exec(), {}, {model.norm}, {}, 0); },
              ThrowsMessage<Error>(HasSubstr("1 parameters and factors of 0")));
  model.norm.gradient = View3D<float>("test::gradient", 1, 1, 5);
  EXPECT_THAT([&] { Optimizer(exec(), {}, {model.norm}, {{}}, 0); },
              ThrowsMessage<Error>(HasSubstr("'norm' has 33 values, 33 of them here and 5 in its gradient")));
}

}  // namespace
}  // namespace m2::test
