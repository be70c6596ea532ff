// SPDX-License-Identifier: Apache-2.0
#include "jobs/bench_training.hpp"

#include <vector>

#include "bench/passes.hpp"
#include "train/make_optimizer.hpp"
#include "train/parameter_groups.hpp"

namespace m2 {
namespace {

constexpr double kLearningRate = 1e-6;  // the arithmetic is that of any rate, and the weights stay near what they were

TrainingSequences random_sequences(const BenchSection& settings, int vocabulary) {
  TrainingSequences sequences;
  for (int sequence = 0; sequence < settings.batch; ++sequence) {
    std::vector<int> tokens;
    for (int position = 0; position < settings.prompt_tokens; ++position) {
      tokens.push_back(bench_token(/*rank=*/0, sequence, position, vocabulary));
    }
    sequences.add(tokens, tokens);
  }
  return sequences;
}

}  // namespace

void measure_training(MiniMaxM2ForCausalLM& model, const BenchSection& settings, Communicator& world,
                      BenchResult& result) {
  const OptimizerSection section;
  const std::vector<ParameterSchema> trainable = trainable_parameters(model);
  const ParameterGroups groups(section, /*freeze=*/{}, trainable);
  model.train();
  Optimizer optimizer = make_optimizer(model, section, {trainable, groups.factors()}, /*seed=*/0);
  const TrainingSequences sequences = random_sequences(settings, model.config().vocab_size);
  std::int64_t updates = 0;
  const auto step = [&] {
    model.zero_gradients();
    model.forward(sequences, 1.0f / float(sequences.num_labels()));
    model.backward();
    const double norm = optimizer.gradient_norm();
    optimizer.step(kLearningRate, clip_factor(norm, /*max_norm=*/1.0), ++updates);
    model.exec().fence("m2::bench: the end of a training step");
  };
  step();  // nothing is warm
  result.phases.push_back(measure_phase("train", sequences.num_tokens(), step, settings.repeats, world));
}

}  // namespace m2
