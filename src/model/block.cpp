// SPDX-License-Identifier: Apache-2.0
#include "model/block.hpp"

#include <fmt/format.h>

#include "kernels/rowwise/residual_add.hpp"
#include "kernels/rowwise/rms_norm.hpp"

namespace m2 {

Block::Block(int layer_idx, const std::shared_ptr<const ModelConfig>& config,
             const std::shared_ptr<ExpertParallel>& parallel)
    : self_attn(config),
      mlp(layer_idx, config, parallel),
      prefix_(fmt::format("layers/{}/", layer_idx)),
      config_(config) {}

template <class T>
void Block::forward(const ExecSpace& exec, const PackedBatch& batch, const KvPages<T>& cache,
                    const Activations<T>& buffers) const {
  const auto& [h_TD, normed_TD, branch_TD, attention_buffers, moe_buffers] = buffers;
  const float eps = float(config_->architecture.rms_norm_eps);
  const RmsNormOrder order = config_->backend.rms_norm;

  rms_norm<T>(exec, h_TD, input_layernorm, eps, order, normed_TD);
  self_attn.forward<T>(exec, normed_TD, batch, cache, attention_buffers, branch_TD);
  residual_add<T>(exec, branch_TD, h_TD);

  rms_norm<T>(exec, h_TD, post_attention_layernorm, eps, order, normed_TD);
  mlp.forward<T>(exec, normed_TD, batch, moe_buffers, branch_TD);
  residual_add<T>(exec, branch_TD, h_TD);
}

std::vector<Parameter> Block::parameters(const ParameterSchemas& schemas) {
  std::vector<Parameter> list{{.schema = schemas.at(prefix_ + "input_norm"), .vector = &input_layernorm}};
  append(list, self_attn.parameters(schemas, prefix_ + "attention/"));
  list.push_back({.schema = schemas.at(prefix_ + "post_attention_norm"), .vector = &post_attention_layernorm});
  append(list, mlp.parameters(schemas, prefix_ + "moe/"));
  return list;
}

template void Block::forward<float>(const ExecSpace&, const PackedBatch&, const KvPages<float>&,
                                    const Activations<float>&) const;
template void Block::forward<Bf16>(const ExecSpace&, const PackedBatch&, const KvPages<Bf16>&,
                                   const Activations<Bf16>&) const;

}  // namespace m2
