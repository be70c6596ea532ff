// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/tensor_sink.hpp"
#include "checkpoint/tensor_source.hpp"
#include "comm/communicator.hpp"
#include "core/enum_names.hpp"
#include "io/hdf5.hpp"

namespace m2 {

/// What becomes of the stored values. `keep`: the same bits. `bfloat16`, `float32`: everything but the router, FP8
/// expanded in float32 and then rounded to nearest even. `float8`: attention projections and experts become FP8 blocks,
/// the rest is kept.
enum class DTypeChoice { keep, bfloat16, float32, float8 };
template <>
inline constexpr std::array<std::string_view, 4> kEnumNames<DTypeChoice>{"keep", "bfloat16", "float32", "float8"};

/// What transformers writes by default.
inline constexpr std::uint64_t kDefaultShardBytes = 5'000'000'000;

struct ConvertResult {
  std::uint64_t bytes = 0;              ///< read
  double seconds = 0;                   ///< with the flush to disk
  std::vector<std::string> non_finite;  ///< one line for each tensor with infinities or NaNs
};

/// "4MiB": what Hdf5Writer aligns to. Throws UsageError that names --alignment for anything else.
std::uint64_t parse_alignment(std::string_view text);

/// Writes `source` as an HDF5 checkpoint, streaming: memory does not grow with the model. A file at `out_path` is
/// replaced when the new one is complete. With a communicator it is collective: each rank converts its share of the
/// bytes, and rank 0 gets the result. Throws Error naming the tensor; then nothing is left behind, and other ranks may
/// wait. `alignment_bytes`: see Hdf5Writer.
ConvertResult import_checkpoint(const TensorSource& source, const std::string& out_path, DTypeChoice dtype,
                                Communicator* world = nullptr, std::uint64_t alignment_bytes = kDefaultAlignmentBytes);

/// Writes `source` as a Hugging Face folder of shards of at most `max_shard_bytes`, likewise. `out_folder` must not
/// exist or be empty.
ConvertResult export_checkpoint(const TensorSource& source, const std::string& out_folder, DTypeChoice dtype,
                                std::uint64_t max_shard_bytes, Communicator* world = nullptr);

/// The files that travel along with a checkpoint, beside config.json. Throws Error for an empty one.
Texts companion_texts(const TensorSource& source);

/// The tensors that come out of it, with their dtypes.
std::vector<StoredTensor> planned_tensors(const TensorSource& source, DTypeChoice dtype);

/// The configuration that belongs to them: only dtype and quantization_config may differ from the source's.
MiniMaxM2Config planned_config(const TensorSource& source, DTypeChoice dtype);

}  // namespace m2
