// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/minimax_m2_config.hpp"

namespace m2 {

enum class TensorKind { embedding, norm, attention, router, experts, head };

/// "embedding", "norm", ...
std::string_view name(TensorKind kind);

/// A tensor of our own checkpoints and the tensors of a Hugging Face checkpoint it is made of. Each of those is one
/// contiguous piece of it: `parts` lists them in storage order, all of `part_shape`. An expert stack has the parts of
/// expert 0 first; gate_up has two for each expert, the gate's rows above the up projection's.
struct NativeTensor {
  std::string name;  ///< below /model in the HDF5 file, "layers/3/attention/q_proj"
  TensorKind kind{};
  std::vector<std::int64_t> shape;
  std::int64_t num_slabs = 1;  ///< pieces of the first axis that are hashed, read and written as one: the experts
  bool may_be_fp8 = false;
  bool is_scale = false;  ///< the float32 block scales of an FP8 weight
  std::vector<std::int64_t> part_shape;
  std::vector<std::string> parts;  ///< Hugging Face names

  std::int64_t num_values() const;
  std::int64_t num_part_values() const;
};

/// Every tensor of a model, block scales aside, in the order of the forward pass.
std::vector<NativeTensor> native_tensors(const MiniMaxM2Config& config);

/// "<weight>_scale_inv", for a weight stored as FP8: one scale for each 128 x 128 block of each part (ceil division),
/// so that no block reaches from the gate into the up projection. Throws Error for a tensor that has no blocks.
NativeTensor scales_of(const NativeTensor& weight);

/// What config.json says of such weights, as in the released checkpoints.
QuantizationConfig released_quantization();

}  // namespace m2
