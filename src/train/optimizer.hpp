// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "config/training_sections.hpp"
#include "core/views.hpp"
#include "kernels/weights/weight.hpp"
#include "model/parameter_schema.hpp"
#include "train/checkpoint/state_tensor.hpp"
#include "train/parameter_groups.hpp"

namespace m2 {

/// A parameter that is trained, and its gradient. Weight and Views share the model's memory.
struct TrainedParameter {
  ParameterSchema schema;
  Weight weight;           ///< matrices; empty for a vector
  View1D<float> vector;    ///< of a vector
  View3D<float> gradient;  ///< (E, N, K) of the weight; (1, 1, D) of a vector
};

/// What an optimizer allocates.
struct OptimizerBytes {
  std::int64_t masters = 0, moments = 0;

  OptimizerBytes& operator+=(const OptimizerBytes& other);
  bool operator==(const OptimizerBytes&) const = default;
};

/// min(1, max_norm / norm): what clipping by the global norm multiplies gradients by, as torch's clip_grad_norm_ but
/// for the 1e-6 that it adds to the norm. A norm that is not finite is the caller's to see.
double clip_factor(double norm, double max_norm);

/// AdamW or SGD of all trained parameters. Each has a float32 master: the weight's own memory where it is float32, else
/// a buffer, from which the weight is written after each step. Bits depend neither on threads nor on what else is
/// trained, but for the stochastic rounding of moments in bfloat16, which knows a parameter by its place in the list.
class Optimizer {
 public:
  /// Allocates masters, read from the weights, and moments of zeros. `factors` has one entry a parameter. `seed`: of
  /// stochastic rounding. Throws Error when sizes do not agree and for a parameter whose factors say it is frozen.
  Optimizer(const ExecSpace& exec, const OptimizerSection& section, std::vector<TrainedParameter> parameters,
            const std::vector<ParameterFactors>& factors, std::uint64_t seed);

  /// The square root of the sum of squares of all gradients: sum_of_squares() of each parameter, added in their order
  /// in double. NaN or infinity where a gradient holds such. Waits for `exec`.
  double gradient_norm();

  /// One update of every parameter; gradients are multiplied by `gradient_scale` first and stay as they are. `step`:
  /// updates with this one, from 1; a step that was skipped does not count. Weights are written, too. Asynchronous, but
  /// for weights in FP8, for which it waits; throws as store_weight() does.
  void step(double learning_rate, double gradient_scale, std::int64_t step);

  /// Called with i before a step touches master, moments or weight of parameter i, in ascending order, on the thread
  /// that calls step(): a checkpoint that is written in the background finishes reading the parameter, or copies it,
  /// before this returns. Nothing by default.
  void set_before_update(std::function<void(std::size_t)> before_update) { before_update_ = std::move(before_update); }

  /// Elements of weights held in bfloat16 that the last step changed in the master and not in the weight; 0 before the
  /// first step. Waits for `exec`.
  std::int64_t updates_lost() const;

  /// "<parameter>/m" and "<parameter>/v" of adamw, "<parameter>/momentum" of sgd, and "<parameter>/master" of a master
  /// in a buffer, parameter after parameter: memory of the optimizer, which stays where it is. Whoever fills them (a
  /// checkpoint that is read) fills the weights, too.
  std::vector<StateTensor> state() const;

  const std::vector<TrainedParameter>& parameters() const { return parameters_; }

  /// What the optimizer allocates for a parameter of `shape` (in this process) whose weight is of `dtype`.
  static OptimizerBytes bytes(const OptimizerSection& section, const std::vector<std::int64_t>& shape, DType dtype);

 private:
  template <class M>
  using Moments = std::vector<View1D<M>>;  // m and v, or momentum

  struct State {
    View1D<float> master;  // of all values
    bool has_buffer = false;
    std::variant<Moments<float>, Moments<Bf16>> moments;
    ParameterFactors factors;
  };

  State make_state(const TrainedParameter& parameter, const ParameterFactors& factors) const;
  template <class M>
  void update(std::size_t i, const Moments<M>& moments, double learning_rate, double gradient_scale, std::int64_t step);

  ExecSpace exec_;
  OptimizerSection section_;
  std::vector<TrainedParameter> parameters_;
  std::uint64_t seed_;
  std::vector<State> states_;
  View1D<double> block_sum_;   // of the largest gradient
  View1D<double> sums_;        // of squares, one a parameter
  View1D<std::int64_t> lost_;  // one a parameter, 0 where its weight is not in bfloat16
  std::function<void(std::size_t)> before_update_ = [](std::size_t) {};
};

}  // namespace m2
