// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config/minimax_m2_config.hpp"
#include "core/dtype.hpp"
#include "core/enum_names.hpp"

namespace m2 {

enum class ParameterKind { embedding, norm, attention, router, experts, head, adapter };
template <>
inline constexpr std::array<std::string_view, 7> kEnumNames<ParameterKind>{"embedding", "norm", "attention", "router",
                                                                           "experts",   "head", "adapter"};

/// What a parameter is, wherever its numbers are: the same on every rank and in every checkpoint of the model.
struct ParameterSchema {
  std::string name;  ///< "layers/3/attention/q_proj": its path below /model in an HDF5 checkpoint
  ParameterKind kind{};
  std::vector<std::int64_t> shape;  ///< of the whole model: (width), (out, in) or, of all experts, (experts, out, in)
  int num_row_parts = 1;            ///< matrices of equal height that lie on top of one another (gate over up)

  bool is_vector() const { return shape.size() == 1; }
  bool is_expert_stack() const { return shape.size() == 3; }
  /// Whether a checkpoint may hold it as FP8 blocks with scales: attention projections and experts.
  bool may_be_fp8() const { return kind == ParameterKind::attention || kind == ParameterKind::experts; }
  /// Whether a model holds it in float32 whatever its dtype is: vectors, the router and adapters.
  bool stays_float32() const { return is_vector() || kind == ParameterKind::router || kind == ParameterKind::adapter; }
  std::int64_t num_values() const;

  bool operator==(const ParameterSchema&) const = default;
};

/// Of the adapter beside a weight, A and B: "<name>/lora_A", (rank, in), and "<name>/lora_B", B transposed, (rank,
/// out); of a stack, (experts, rank, in) and (experts, rank, out).
ParameterSchema lora_a_schema(const ParameterSchema& base, int rank);
ParameterSchema lora_b_schema(const ParameterSchema& base, int rank);

/// The shape of the float32 block scales that FP8 matrices of this shape have: one for each kFp8Block x kFp8Block block
/// of each row part (ceil division), so that no block reaches from the gate into the up projection.
std::vector<std::int64_t> scale_shape(std::vector<std::int64_t> shape, int num_row_parts);

/// The dtype in which a model that computes in `compute_dtype` (float32 or bfloat16) holds a parameter whose values
/// come as `dtype`, from a checkpoint or by the wish of whoever initialises it: float32 where the schema stays so; FP8
/// as it is where it may be; else bfloat16 in a model that computes in bfloat16, and `dtype` in one that computes in
/// float32.
DType held_dtype(const ParameterSchema& schema, DType dtype, DType compute_dtype);

/// Every parameter of a model without adapters, in the order of the forward pass, which is that of
/// MiniMaxM2ForCausalLM::base_parameters() and of our checkpoints. The only place that says which parameters there are
/// and what shapes they have.
class ParameterSchemas {
 public:
  explicit ParameterSchemas(const MiniMaxM2Config& config);

  const std::vector<ParameterSchema>& list() const { return list_; }

  /// nullptr if the model has none of that name: the selection bias of a model without one.
  const ParameterSchema* find(const std::string& name) const;
  /// The same, for one that every model has.
  const ParameterSchema& at(const std::string& name) const;

 private:
  std::vector<ParameterSchema> list_;
  std::unordered_map<std::string, std::size_t> index_;
};

}  // namespace m2
