// SPDX-License-Identifier: Apache-2.0
#include "train/optimizer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>
#include <string_view>
#include <type_traits>

#include "core/enum_names.hpp"
#include "core/error.hpp"
#include "core/host_copy.hpp"
#include "core/memory.hpp"
#include "kernels/optimizer/adamw.hpp"
#include "kernels/optimizer/sgd.hpp"
#include "kernels/optimizer/sum_of_squares.hpp"
#include "kernels/weights/store_weight.hpp"

namespace m2 {
namespace {

std::int64_t product(const std::vector<std::int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::vector<std::string_view> moment_names(OptimizerName name) {
  return name == OptimizerName::adamw ? std::vector<std::string_view>{"m", "v"}
                                      : std::vector<std::string_view>{"momentum"};
}

DType moments_dtype(const OptimizerSection& section) {
  return section.moments == MomentsDType::bfloat16 ? DType::bfloat16 : DType::float32;
}

/// The parameter's shape in this process.
std::vector<std::int64_t> local_shape(const TrainedParameter& parameter) {
  std::vector<std::int64_t> shape = parameter.schema.shape;
  if (parameter.schema.is_expert_stack()) shape[0] = parameter.weight.num_matrices();
  return shape;
}

template <class T>
View1D<T> uninitialised(const ExecSpace& exec, const std::string& label, std::int64_t size) {
  const View1D<T> out(Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, label), size);
  if (std::is_same_v<MemorySpace, HostSpace>)
    advise_large_pages(reinterpret_cast<std::byte*>(out.data()), std::uint64_t(size) * sizeof(T));
  return out;
}

template <class T>
View1D<T> zeros(const ExecSpace& exec, const std::string& label, std::int64_t size) {
  const View1D<T> out = uninitialised<T>(exec, label, size);
  Kokkos::deep_copy(exec, out, T(0.0f));
  return out;
}

template <class T>
View1D<T> flat(const View3D<T>& view) {
  return View1D<T>(view.data(), view.size());
}

View3D<float> as_weight(const View1D<float>& master, const Weight& weight) {
  return View3D<float>(master.data(), weight.num_matrices(), weight.num_rows(), weight.num_columns());
}

void require_consistent(const TrainedParameter& parameter, const ParameterFactors& factors) {
  const std::string& name = parameter.schema.name;
  M2_REQUIRE(factors.is_trained, "optimizer: parameter '{}' is frozen and cannot be trained", name);
  const std::int64_t size = product(local_shape(parameter)), num_gradients = std::int64_t(parameter.gradient.size());
  const std::int64_t num_values = parameter.schema.is_vector()
                                      ? std::int64_t(parameter.vector.size())
                                      : std::int64_t(parameter.weight.num_matrices()) * parameter.weight.num_rows() *
                                            parameter.weight.num_columns();
  M2_REQUIRE(num_values == size && num_gradients == size,
             "optimizer: parameter '{}' has {} values, {} of them here and {} in its gradient", name, size, num_values,
             num_gradients);
}

}  // namespace

OptimizerBytes& OptimizerBytes::operator+=(const OptimizerBytes& other) {
  masters += other.masters;
  moments += other.moments;
  return *this;
}

double clip_factor(double norm, double max_norm) { return norm > max_norm ? max_norm / norm : 1.0; }

Optimizer::Optimizer(const ExecSpace& exec, const OptimizerSection& section, std::vector<TrainedParameter> parameters,
                     const std::vector<ParameterFactors>& factors, std::uint64_t seed)
    : exec_(exec), section_(section), parameters_(std::move(parameters)), seed_(seed) {
  M2_REQUIRE(parameters_.size() == factors.size(), "optimizer: {} parameters and factors of {}", parameters_.size(),
             factors.size());
  M2_REQUIRE(section_.name != OptimizerName::adamw || section_.betas.size() == 2, "optimizer: {} betas, 2 are expected",
             section_.betas.size());
  std::int64_t most_values = 0;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    require_consistent(parameters_[i], factors[i]);
    states_.push_back(make_state(parameters_[i], factors[i]));
    most_values = std::max(most_values, std::int64_t(parameters_[i].gradient.size()));
  }
  block_sum_ = zeros<double>(exec_, "m2::optimizer_block_sum", num_square_blocks(most_values));
  sums_ = zeros<double>(exec_, "m2::optimizer_sums", std::ssize(parameters_));
  lost_ = zeros<std::int64_t>(exec_, "m2::optimizer_lost", std::ssize(parameters_));
}

Optimizer::State Optimizer::make_state(const TrainedParameter& parameter, const ParameterFactors& factors) const {
  const std::int64_t size = std::int64_t(parameter.gradient.size());
  const std::string label = "m2::optimizer/" + parameter.schema.name;
  State state;
  state.master = parameter.vector;
  state.factors = factors;
  if (!parameter.schema.is_vector()) {
    state.has_buffer = parameter.weight.dtype() != DType::float32;
    state.master = state.has_buffer ? uninitialised<float>(exec_, label + "_master", size)
                                    : flat(parameter.weight.values<float>());
    if (state.has_buffer) load_weight(exec_, parameter.weight, as_weight(state.master, parameter.weight));
  }
  const auto make_moments = [&]<class M>(Moments<M> moments) {
    for (const std::string_view name : moment_names(section_.name))
      moments.push_back(zeros<M>(exec_, fmt::format("{}_{}", label, name), size));
    state.moments = std::move(moments);
  };
  if (section_.moments == MomentsDType::bfloat16) {
    make_moments(Moments<Bf16>());
  } else {
    make_moments(Moments<float>());
  }
  return state;
}

double Optimizer::gradient_norm() {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const auto at = std::int64_t(i);
    sum_of_squares(exec_, flat(parameters_[i].gradient), block_sum_, slice(sums_, at, at + 1));
  }
  const std::vector<double> sums = to_host(exec_, sums_, "m2::optimizer: sums of squares");
  return std::sqrt(std::accumulate(sums.begin(), sums.end(), 0.0));
}

void Optimizer::step(double learning_rate, double gradient_scale, std::int64_t step) {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    before_update_(i);
    std::visit([&](const auto& moments) { update(i, moments, learning_rate, gradient_scale, step); },
               states_[i].moments);
    if (!states_[i].has_buffer) continue;
    const Weight& weight = parameters_[i].weight;
    store_weight(exec_, as_weight(states_[i].master, weight), weight);
  }
}

template <class M>
void Optimizer::update(std::size_t i, const Moments<M>& moments, double learning_rate, double gradient_scale,
                       std::int64_t step) {
  const State& state = states_[i];
  const View1D<const float> gradient = flat(parameters_[i].gradient);
  const bool is_bf16 = state.has_buffer && parameters_[i].weight.dtype() == DType::bfloat16;
  const auto at = std::int64_t(i);
  const View1D<std::int64_t> lost = is_bf16 ? slice(lost_, at, at + 1) : View1D<std::int64_t>();
  const RandomStream rounding{.seed = seed_, .stream = std::uint32_t(i)};
  if (section_.name == OptimizerName::adamw) {
    adamw<M>(exec_,
             {.learning_rate = learning_rate * state.factors.learning_rate_factor,
              .beta1 = section_.betas[0],
              .beta2 = section_.betas[1],
              .eps = section_.eps,
              .weight_decay = state.factors.weight_decay,
              .gradient_scale = gradient_scale,
              .step = step,
              .rounding = rounding},
             gradient, state.master, moments[0], moments[1], lost);
  } else {
    sgd<M>(exec_,
           {.learning_rate = learning_rate * state.factors.learning_rate_factor,
            .momentum = section_.momentum,
            .weight_decay = state.factors.weight_decay,
            .gradient_scale = gradient_scale,
            .step = step,
            .rounding = rounding},
           gradient, state.master, moments[0], lost);
  }
}

std::int64_t Optimizer::updates_lost() const {
  const std::vector<std::int64_t> lost = to_host(exec_, lost_, "m2::optimizer: updates lost");
  return std::accumulate(lost.begin(), lost.end(), std::int64_t{0});
}

std::vector<StateTensor> Optimizer::state() const {
  std::vector<StateTensor> tensors;
  const std::vector<std::string_view> names = moment_names(section_.name);
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const std::vector<std::int64_t> shape = local_shape(parameters_[i]);
    const auto add = [&](std::string_view kind, DType dtype, void* data) {
      tensors.push_back(
          {fmt::format("{}/{}", parameters_[i].schema.name, kind), dtype, shape, static_cast<std::byte*>(data)});
    };
    std::visit(
        [&](const auto& moments) {
          for (std::size_t k = 0; k < names.size(); ++k) add(names[k], moments_dtype(section_), moments[k].data());
        },
        states_[i].moments);
    if (states_[i].has_buffer) add("master", DType::float32, states_[i].master.data());
  }
  return tensors;
}

OptimizerBytes Optimizer::bytes(const OptimizerSection& section, const std::vector<std::int64_t>& shape, DType dtype) {
  const std::int64_t size = product(shape), num_moments = std::ssize(moment_names(section.name));
  return {.masters = dtype == DType::float32 ? 0 : size * std::int64_t(sizeof(float)),
          .moments = size * num_moments * std::int64_t(size_bytes(moments_dtype(section)))};
}

}  // namespace m2
