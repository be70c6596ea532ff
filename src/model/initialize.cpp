// SPDX-License-Identifier: Apache-2.0
#include "model/initialize.hpp"

#include <string_view>

namespace m2 {
namespace {

// FNV-1a: the stream of a name must be the same in every build and release.
std::uint32_t stream_of(std::string_view name) {
  std::uint32_t hash = 2166136261u;
  for (const char c : name) hash = (hash ^ std::uint8_t(c)) * 16777619u;
  return hash;
}

}  // namespace

void fill_normal(const ExecSpace& exec, std::uint64_t seed, const Parameter& parameter,
                 NormalDistribution distribution) {
  const RandomStream stream{.seed = seed, .stream = stream_of(parameter.name)};
  if (parameter.weight) {
    fill_normal(exec, stream, distribution, /*index_offset=*/0, *parameter.weight);
  } else {
    fill_normal(exec, stream, distribution, /*index_offset=*/0, *parameter.vector);
  }
}

void fill_normal_expert(const ExecSpace& exec, std::uint64_t seed, const Parameter& parameter, int i,
                        NormalDistribution distribution) {
  const RandomStream stream{.seed = seed, .stream = stream_of(parameter.name)};
  const Weight expert = parameter.weight->matrix(i);
  const std::int64_t size = std::int64_t(expert.num_rows()) * expert.num_columns();
  fill_normal(exec, stream, distribution, parameter.experts[i] * size, expert);
}

DType initial_dtype(const Parameter& parameter, DType dtype, DType model_dtype) {
  return dtype == DType::float8_e4m3fn && !parameter.may_be_fp8 ? model_dtype : dtype;
}

void fill_ones(const ExecSpace& exec, const Parameter& parameter) { Kokkos::deep_copy(exec, *parameter.vector, 1.0f); }

void fill_zeros(const ExecSpace& exec, const Parameter& parameter) { Kokkos::deep_copy(exec, *parameter.vector, 0.0f); }

}  // namespace m2
