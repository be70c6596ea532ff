// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/convert/model_source.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>

#include "checkpoint/convert/convert.hpp"
#include "checkpoint/name_map.hpp"
#include "core/error.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"

namespace m2 {
namespace {

void copy_to_host(const ExecSpace& exec, const std::byte* from, std::span<std::byte> out) {
  if (Kokkos::SpaceAccessibility<HostSpace, MemorySpace>::accessible) {
    std::memcpy(out.data(), from, out.size());
    return;
  }
  static std::mutex one_copy_at_a_time;
  const std::lock_guard lock(one_copy_at_a_time);
  const Kokkos::View<const std::byte*, MemorySpace, Kokkos::MemoryUnmanaged> source(from, out.size());
  const Kokkos::View<std::byte*, HostSpace, Kokkos::MemoryUnmanaged> destination(out.data(), out.size());
  Kokkos::deep_copy(exec, destination, source);
  exec.fence("m2::save_pretrained: the host reads the copy");
}

std::vector<std::byte> vector_bytes(const ExecSpace& exec, const View1D<float>& values, DType dtype) {
  std::vector<float> host(values.extent(0));
  copy_to_host(exec, reinterpret_cast<const std::byte*>(values.data()), std::as_writable_bytes(std::span(host)));
  std::vector<std::byte> bytes(host.size() * size_bytes(dtype));
  if (dtype == DType::float32) {
    std::memcpy(bytes.data(), host.data(), bytes.size());
  } else {
    std::ranges::transform(host, reinterpret_cast<Bf16*>(bytes.data()), [](float value) { return Bf16(value); });
  }
  return bytes;
}

// The configuration a loader needs to understand these weights.
MiniMaxM2Config config_of(MiniMaxM2Config config, const std::vector<Parameter>& parameters) {
  const bool has_fp8 = std::ranges::any_of(
      parameters, [](const Parameter& parameter) { return parameter.dtype() == DType::float8_e4m3fn; });
  if (!has_fp8) config.quantization.reset();
  if (has_fp8 && !config.quantization) config.quantization = released_quantization();
  return config;
}

}  // namespace

ModelSource::ModelSource(const MiniMaxM2Config& config, const std::vector<Parameter>& parameters, const ExecSpace& exec,
                         NormDType norms)
    : TensorSource("the model", config_of(config, parameters)), exec_(exec) {
  exec_.fence("m2::save_pretrained: the weights are complete");
  std::vector<StoredTensor> tensors;
  for (const Parameter& parameter : parameters) {
    const ParameterSchema& schema = parameter.schema;
    M2_REQUIRE(parameter.local_shape() == schema.shape,
               "{} cannot be saved: {} of its {} experts are in this process; save a model that holds all", schema.name,
               parameter.experts.size(), schema.shape[0]);
    if (parameter.vector != nullptr) {
      const bool is_rounded = schema.kind == ParameterKind::norm && norms == NormDType::configured;
      const DType dtype = is_rounded ? config.dtype : DType::float32;
      vectors_[schema.name] = vector_bytes(exec_, *parameter.vector, dtype);
      tensors.push_back(stored_tensor(schema, dtype));
      continue;
    }
    const Weight& weight = *parameter.weight;
    const bool is_in_panels = weight.layout() == WeightLayout::panels;
    matrices_[schema.name] = {weight.data(), is_in_panels ? weight.num_columns() : 0};
    append_with_scales(tensors, stored_tensor(schema, weight.dtype()));
    if (!tensors.back().is_scale) continue;
    matrices_[tensors.back().name] = {reinterpret_cast<const std::byte*>(weight.scale_inv().data()), 0};
  }
  set_tensors(std::move(tensors));
}

void ModelSource::read(const StoredTensor& tensor, std::uint64_t byte_offset, std::span<std::byte> out) const {
  if (const auto vector = vectors_.find(tensor.name); vector != vectors_.end()) {
    std::memcpy(out.data(), vector->second.data() + byte_offset, out.size());
    return;
  }
  const Matrix& matrix = matrices_.at(tensor.name);
  if (matrix.panel_columns > 0) return read_panels(matrix, tensor.dtype, byte_offset, out);
  copy_to_host(exec_, matrix.begin + byte_offset, out);
}

// The rows that the bytes belong to, panel by panel, and of those what was asked for.
void ModelSource::read_panels(const Matrix& matrix, DType dtype, std::uint64_t byte_offset,
                              std::span<std::byte> out) const {
  thread_local std::vector<std::byte> rows;
  const std::uint64_t row_bytes = std::uint64_t(matrix.panel_columns) * size_bytes(dtype);
  while (!out.empty()) {
    const std::uint64_t row = byte_offset / row_bytes, panel = row / kPanelRows;
    const std::uint64_t last_row = (byte_offset + out.size() + row_bytes - 1) / row_bytes;
    const int begin = int(row % kPanelRows),
              end = int(std::min<std::uint64_t>(last_row - panel * kPanelRows, kPanelRows));
    rows.resize(std::size_t(end - begin) * row_bytes);
    unpack_panel(dtype, matrix.panel_columns, matrix.begin + panel * kPanelRows * row_bytes, begin, end, rows.data());
    const std::uint64_t skipped_bytes = byte_offset % row_bytes;
    const std::size_t count = std::min<std::size_t>(out.size(), rows.size() - skipped_bytes);
    std::memcpy(out.data(), rows.data() + skipped_bytes, count);
    byte_offset += count;
    out = out.subspan(count);
  }
}

void MiniMaxM2ForCausalLM::save_pretrained(const std::string& folder) const {
  const std::shared_ptr<ExpertParallel>& parallel = model.expert_parallel();
  M2_REQUIRE(
      !parallel || parallel->group->size() == 1,
      "save_pretrained: the experts are split over {} ranks, and no rank has all of them: load the checkpoint on "
      "one rank, or use m2-convert export",
      parallel->group->size());
  MiniMaxM2ForCausalLM views = *this;  // shares the memory; base_parameters() needs one that may be changed
  const ModelSource source(config(), views.base_parameters(), exec_);
  export_checkpoint(source, folder, DTypeChoice::keep, kDefaultShardBytes);
}

}  // namespace m2
