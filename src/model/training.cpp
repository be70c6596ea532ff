// SPDX-License-Identifier: Apache-2.0
// The training mode of MiniMaxM2ForCausalLM.
#include <type_traits>
#include <utility>
#include <variant>

#include "model/minimax_m2_for_causal_lm.hpp"
#include "model/training_pass.hpp"

namespace m2 {

struct TrainingState {
  std::variant<TrainingPass<float>, TrainingPass<Bf16>> pass;

  template <class T>
  TrainingState(std::type_identity<T>, const MiniMaxM2Model& model, std::vector<Recompute> recompute)
      : pass(std::in_place_type<TrainingPass<T>>, model, std::move(recompute)) {}
};

void MiniMaxM2ForCausalLM::train(const TrainingOptions& options) {
  std::vector<Recompute> recompute = options.recompute;
  if (recompute.size() == 1) recompute.assign(model.layers.size(), recompute.front());
  const auto make = [&]<class T>(std::type_identity<T> type) {
    training_ = std::make_shared<TrainingState>(type, model, std::move(recompute));
  };
  dtype_ == DType::bfloat16 ? make(std::type_identity<Bf16>()) : make(std::type_identity<float>());
  const bool has_adapters = !adapter_parameters().empty();
  const auto is_trained = [&](const ParameterSchema& schema) {
    if (schema.kind == ParameterKind::router && !model.config().moe.train_gate) return false;
    if (options.is_trained) return options.is_trained(schema);
    return !has_adapters || schema.kind == ParameterKind::adapter;
  };
  for (Parameter& parameter : parameters()) {
    if (parameter.gradient == nullptr) continue;
    *parameter.gradient = {};
    if (is_trained(parameter.schema)) parameter.allocate_gradient(exec_);
  }
  if (model.config().moe.aux_loss_coeff == 0.0) return;
  for (Block& block : model.layers) {
    block.mlp.gate.auxiliary_loss = View1D<double>(Kokkos::view_alloc(exec_, "m2::auxiliary_loss"), 1);
  }
}

TrainingLoss MiniMaxM2ForCausalLM::forward(const TrainingSequences& sequences, float loss_scale) {
  M2_REQUIRE(training_, "forward in training mode: train() must be called first");
  require_ready();
  return std::visit(
      [&](auto& pass) {
        return pass.forward(exec_, model, sequences, loss_scale, {lm_head, lm_head_grad, lm_head_lora});
      },
      training_->pass);
}

TrainingLoss MiniMaxM2ForCausalLM::evaluate(const TrainingSequences& sequences) {
  M2_REQUIRE(training_, "evaluate: train() must be called first");
  require_ready();
  return std::visit([&](auto& pass) { return pass.evaluate(exec_, model, sequences, {lm_head, {}, lm_head_lora}); },
                    training_->pass);
}

void MiniMaxM2ForCausalLM::backward(float auxiliary_share) {
  M2_REQUIRE(training_, "backward: train() must be called first");
  std::visit([&](auto& pass) { pass.backward(exec_, model, auxiliary_share, gradient_units_); }, training_->pass);
}

void MiniMaxM2ForCausalLM::zero_gradients() {
  for (const Parameter& parameter : parameters()) {
    if (parameter.gradient != nullptr && parameter.gradient->size() > 0) {
      Kokkos::deep_copy(exec_, *parameter.gradient, 0.0f);
    }
  }
}

std::int64_t MiniMaxM2ForCausalLM::training_bytes(std::span<const Recompute> recompute, std::int64_t num_tokens,
                                                  int num_sequences) const {
  return dtype_ == DType::bfloat16 ? TrainingPass<Bf16>::bytes(model.config(), recompute, num_tokens, num_sequences)
                                   : TrainingPass<float>::bytes(model.config(), recompute, num_tokens, num_sequences);
}

}  // namespace m2
