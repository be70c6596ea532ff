// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/pretrained.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <mutex>
#include <span>
#include <string_view>
#include <unordered_map>

#include "checkpoint/float_bands.hpp"
#include "checkpoint/parallel.hpp"
#include "checkpoint/slab_reader.hpp"
#include "core/byte_size.hpp"
#include "core/error.hpp"
#include "core/memory.hpp"
#include "core/progress.hpp"
#include "io/shape.hpp"
#include "kernels/quantize.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"

namespace m2 {
namespace {

constexpr bool kHostReachesParameters = Kokkos::SpaceAccessibility<HostSpace, MemorySpace>::accessible;

// A parameter and the tensor that fills it.
struct Pair {
  Parameter* parameter;
  const StoredTensor* stored;
};

std::vector<Pair> pair_up(const TensorSource& source, std::vector<Parameter>& parameters) {
  std::unordered_map<std::string_view, Parameter*> by_name;
  for (Parameter& parameter : parameters) by_name.emplace(parameter.name, &parameter);
  std::vector<Pair> pairs;
  for (const StoredTensor& tensor : source.tensors()) {
    if (tensor.is_scale) continue;
    const auto found = by_name.find(tensor.name);
    M2_REQUIRE(found != by_name.end(), "'{}' holds {}, which the model does not have", source.path(), tensor.name);
    Parameter& parameter = *found->second;
    M2_REQUIRE(parameter.shape == tensor.shape, "'{}': {} has shape {}, the model expects {}", source.path(),
               tensor.name, shape_text(tensor.shape), shape_text(parameter.shape));
    M2_REQUIRE(tensor.dtype != DType::float8_e4m3fn || parameter.may_be_fp8,
               "'{}': {} is float8_e4m3fn, which the model cannot use there", source.path(), tensor.name);
    pairs.push_back({&parameter, &tensor});
    by_name.erase(found);
  }
  M2_REQUIRE(by_name.empty(), "'{}' does not hold {}, which the model needs", source.path(), by_name.begin()->first);
  return pairs;
}

std::int64_t total_bytes(const std::vector<Pair>& pairs, DType compute_dtype) {
  std::int64_t bytes = 0;
  for (const auto& [parameter, stored] : pairs) {
    bytes += parameter->storage_bytes(storage_dtype(*parameter, *stored, compute_dtype));
  }
  return bytes;
}

void require_memory(const TensorSource& source, std::int64_t needed_bytes) {
  if (!kHostReachesParameters) return;  // an allocation that a device refuses is an error of its own
  const std::int64_t available_bytes = available_memory_bytes();
  M2_REQUIRE(
      needed_bytes <= available_bytes,
      "the parameters of '{}' need {} of memory, and {} are available: use a machine with more, or a checkpoint with "
      "smaller weights (m2-convert export --dtype float8)",
      source.path(), byte_size_text(std::uint64_t(needed_bytes)), byte_size_text(std::uint64_t(available_bytes)));
}

// A piece of a parameter's memory and what is read into it.
struct Destination {
  const StoredTensor* tensor;
  std::int64_t slab;
  DType dtype;
  std::byte* begin;  // of the slab
};

void append_slabs(const StoredTensor& tensor, DType dtype, std::byte* begin, std::vector<Destination>& out) {
  const std::int64_t slab_bytes = tensor.num_values() / tensor.num_slabs * std::int64_t(size_bytes(dtype));
  for (std::int64_t slab = 0; slab < tensor.num_slabs; ++slab) {
    out.push_back({&tensor, slab, dtype, begin + slab * slab_bytes});
  }
}

void store(const ExecSpace& exec, std::span<const std::byte> bytes, std::byte* destination) {
  if (kHostReachesParameters) {
    std::memcpy(destination, bytes.data(), bytes.size());
    return;
  }
  static std::mutex one_copy_at_a_time;
  const std::lock_guard lock(one_copy_at_a_time);
  const Kokkos::View<const std::byte*, HostSpace, Kokkos::MemoryUnmanaged> from(bytes.data(), bytes.size());
  const Kokkos::View<std::byte*, MemorySpace, Kokkos::MemoryUnmanaged> to(destination, bytes.size());
  Kokkos::deep_copy(exec, to, from);
  exec.fence("m2::load_parameters: the buffer is used again");
}

// The same dtype: the bytes go where they stay.
void load_slab(const TensorSource& source, const ExecSpace& exec, const Destination& destination, Progress& progress) {
  SlabReader reader(source, *destination.tensor, destination.slab, {.progress = &progress});
  const std::size_t slab_bytes = reader.remaining_bytes();
  if (kHostReachesParameters) {
    reader.read({destination.begin, slab_bytes});
    reader.finish();
    return;
  }
  thread_local std::vector<std::byte> staging;
  staging.resize(slab_bytes);
  reader.read(staging);
  reader.finish();
  store(exec, staging, destination.begin);
}

// Another dtype: through float32.
void convert_slab_into(const TensorSource& source, const ExecSpace& exec, const Destination& destination,
                       Progress& progress) {
  const HostExecSpace host_exec;
  FloatBands bands(source, *destination.tensor, destination.slab, {.progress = &progress});
  std::vector<Bf16> rounded;
  for (FloatBand band = bands.next(host_exec); band.num_rows > 0; band = bands.next(host_exec)) {
    std::byte* const begin = destination.begin + band.first_value * std::int64_t(size_bytes(destination.dtype));
    if (destination.dtype == DType::float32) {
      store(exec, std::as_bytes(band.values), begin);
    } else {
      rounded.resize(band.values.size());
      convert_values<float, Bf16>(host_exec, band.values, rounded);
      store(exec, std::as_bytes(std::span<const Bf16>(rounded)), begin);
    }
  }
}

}  // namespace

DType storage_dtype(const Parameter& parameter, const StoredTensor& stored, DType compute_dtype) {
  if (parameter.vector != nullptr || parameter.keep_float32) return DType::float32;
  if (stored.dtype == DType::float8_e4m3fn) return stored.dtype;
  return compute_dtype == DType::bfloat16 ? DType::bfloat16 : stored.dtype;
}

std::int64_t parameter_bytes(const TensorSource& source, const std::vector<Parameter>& parameters,
                             DType compute_dtype) {
  std::vector<Parameter> copy = parameters;
  return total_bytes(pair_up(source, copy), compute_dtype);
}

void load_parameters(const TensorSource& source, std::vector<Parameter>& parameters, const ExecSpace& exec,
                     DType compute_dtype) {
  const std::vector<Pair> pairs = pair_up(source, parameters);
  require_memory(source, total_bytes(pairs, compute_dtype));

  std::vector<Destination> copies, conversions;
  std::uint64_t source_bytes = 0;
  for (const auto& [parameter, stored] : pairs) {
    const DType dtype = storage_dtype(*parameter, *stored, compute_dtype);
    parameter->allocate(exec, dtype);
    std::byte* const begin = parameter->vector != nullptr ? reinterpret_cast<std::byte*>(parameter->vector->data())
                                                          : parameter->weight->data();
    append_slabs(*stored, dtype, begin, dtype == stored->dtype ? copies : conversions);
    source_bytes += stored->size_bytes();
    if (const StoredTensor* scales = source.scales(*stored)) {
      append_slabs(*scales, DType::float32, reinterpret_cast<std::byte*>(parameter->weight->scale_inv().data()),
                   copies);
      source_bytes += scales->size_bytes();
    }
  }
  exec.fence("m2::load_parameters: the memory is there");

  std::ranges::sort(copies, {}, [&](const Destination& destination) {
    return source.disk_position(*destination.tensor,
                                std::uint64_t(destination.slab) * destination.tensor->slab_bytes());
  });
  Progress progress("load", std::int64_t(source_bytes), "B");
  parallel_tasks(copies.size(), num_io_threads(), [&](std::size_t i) { load_slab(source, exec, copies[i], progress); });
  for (const Destination& destination : conversions) convert_slab_into(source, exec, destination, progress);
}

MiniMaxM2ForCausalLM MiniMaxM2ForCausalLM::from_pretrained(const std::string& path, const ModelOptions& options) {
  const std::unique_ptr<TensorSource> source = TensorSource::open(path);
  MiniMaxM2ForCausalLM causal_lm(source->config(), options);
  std::vector<Parameter> parameters = causal_lm.parameters();
  load_parameters(*source, parameters, causal_lm.exec(), causal_lm.dtype());
  return causal_lm;
}

}  // namespace m2
