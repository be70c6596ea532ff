// SPDX-License-Identifier: Apache-2.0
#include "model/initialize.hpp"

#include <cmath>
#include <string_view>

#include "kernels/weights/random_fill.hpp"

namespace m2 {
namespace {

// FNV-1a: the stream of a name must be the same in every build and release.
std::uint32_t stream_of(std::string_view name) {
  std::uint32_t hash = 2166136261u;
  for (const char c : name) hash = (hash ^ std::uint8_t(c)) * 16777619u;
  return hash;
}

// Each expert by its place in the whole stack, wherever it is.
void fill_experts(const ExecSpace& exec, RandomStream stream, NormalDistribution distribution,
                  const Parameter& parameter) {
  for (int i = 0; i < std::ssize(parameter.experts); ++i) {
    const Weight expert = parameter.weight->matrix(i);
    const std::int64_t size = std::int64_t(expert.num_rows()) * expert.num_columns();
    fill_normal(exec, stream, distribution, parameter.experts[i] * size, expert);
  }
}

}  // namespace

void initialize_parameter(const ExecSpace& exec, std::uint64_t seed, const Parameter& parameter) {
  const RandomStream stream{.seed = seed, .stream = stream_of(parameter.name())};
  const auto normal = [&](NormalDistribution distribution) {
    fill_normal(exec, stream, distribution, /*index_offset=*/0, *parameter.weight);
  };
  switch (parameter.schema.kind) {
    case ParameterKind::embedding:
      return normal({.mean = 0.0f, .deviation = 1.0f});
    case ParameterKind::norm:
      return Kokkos::deep_copy(exec, *parameter.vector, 1.0f);
    case ParameterKind::attention:
      return normal({.mean = 0.0f, .deviation = 0.02f, .bound = 2.0f});
    case ParameterKind::router:
      if (parameter.vector) return Kokkos::deep_copy(exec, *parameter.vector, 0.0f);
      return normal({.mean = 0.0f, .deviation = 0.02f});
    case ParameterKind::experts:
      return fill_experts(exec, stream, {.mean = 0.0f, .deviation = 0.02f}, parameter);
    case ParameterKind::adapter: {  // as PEFT: B is 0, A has the variance of its uniform numbers up to 1 / sqrt(in)
      if (parameter.name().ends_with("B")) return Kokkos::deep_copy(exec, parameter.weight->values<float>(), 0.0f);
      const NormalDistribution distribution{.mean = 0.0f,
                                            .deviation = 1.0f / std::sqrt(3.0f * float(parameter.schema.shape.back()))};
      return parameter.schema.is_expert_stack() ? fill_experts(exec, stream, distribution, parameter)
                                                : normal(distribution);
    }
    case ParameterKind::head: {
      const float deviation = 1.0f / std::sqrt(float(parameter.schema.shape[1]));
      return normal({.mean = 0.0f, .deviation = deviation, .bound = 3 * deviation});
    }
  }
}

}  // namespace m2
