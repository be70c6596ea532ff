// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "checkpoint/tensor_source.hpp"
#include "core/views.hpp"
#include "model/parameter.hpp"

namespace m2 {

/// In which dtype norms are stored, which a model holds in float32: in the configuration's, as in published
/// checkpoints, or unrounded.
enum class NormDType { configured, float32 };

/// The weights of a model in memory, as if they were a checkpoint: matrices in the dtypes they are held in, norms as
/// NormDType says, the router in float32. Vectors are copied when it is made; matrices are read where they are.
class ModelSource final : public TensorSource {
 public:
  /// `parameters` are all those of a model made from `config`, and their memory outlives this object. Throws Error for
  /// an expert stack of which a part is in another process.
  ModelSource(const MiniMaxM2Config& config, const std::vector<Parameter>& parameters, const ExecSpace& exec,
              NormDType norms = NormDType::configured);

  void read(const StoredTensor& tensor, std::uint64_t byte_offset, std::span<std::byte> out) const override;

 private:
  ExecSpace exec_;
  std::unordered_map<std::string, std::vector<std::byte>> vectors_;  // small: copied to the host
  struct Matrix {
    const std::byte* begin;  // in MemorySpace
    int panel_columns;       // if not 0: rows of so many values lie in panels
  };
  void read_panels(const Matrix& matrix, DType dtype, std::uint64_t byte_offset, std::span<std::byte> out) const;

  std::unordered_map<std::string, Matrix> matrices_;
};

}  // namespace m2
