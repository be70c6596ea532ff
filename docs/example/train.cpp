// SPDX-License-Identifier: Apache-2.0
// Fine-tunes a checkpoint on one sequence of tokens with AdamW, and writes the result as a Hugging Face folder.
//
//   train CHECKPOINT OUT_FOLDER TOKEN_ID...
#include <Kokkos_Core.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <vector>

#include "model/minimax_m2_for_causal_lm.hpp"
#include "train/make_optimizer.hpp"
#include "train/parameter_groups.hpp"

namespace {

void run(const char* checkpoint, const char* out_folder, const std::vector<int>& tokens) {
  constexpr int kSteps = 10;
  auto model = m2::MiniMaxM2ForCausalLM::from_pretrained(checkpoint, {.dtype = m2::DType::float32});
  model.train();  // gradients of all parameters

  const auto parameters = m2::trainable_parameters(model);
  const m2::ParameterGroups groups(m2::OptimizerSection(), /*freeze=*/{}, parameters);  // decay of matrices only
  m2::Optimizer optimizer =
      m2::make_optimizer(model, m2::OptimizerSection(), {parameters, groups.factors()}, /*seed=*/0);

  m2::TrainingSequences batch;
  batch.add(tokens, tokens);  // every token is a label
  for (int step = 1; step <= kSteps; ++step) {
    model.zero_gradients();
    const m2::TrainingLoss loss = model.forward(batch, 1.0f / float(batch.num_labels()));
    model.backward();
    const double norm = optimizer.gradient_norm();
    optimizer.step(/*learning_rate=*/1e-3, m2::clip_factor(norm, /*max_norm=*/1.0), step);
    std::printf("step %d: loss %.4f, norm %.3f\n", step, loss.nll / double(loss.num_labels), norm);
  }
  model.save_pretrained(out_folder);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr, "usage: train CHECKPOINT OUT_FOLDER TOKEN_ID TOKEN_ID...\n");
    return 2;
  }
  try {
    const Kokkos::ScopeGuard kokkos;
    std::vector<int> tokens;
    for (int i = 3; i < argc; ++i) tokens.push_back(std::atoi(argv[i]));
    run(argv[1], argv[2], tokens);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "train: error: %s\n", error.what());
    return 1;
  }
}
