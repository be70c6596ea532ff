// SPDX-License-Identifier: Apache-2.0
// Adapters against PEFT, and what they promise: the base stays as it is, and B = 0 changes no bit.
#include <gmock/gmock.h>

#include <filesystem>
#include <functional>
#include <map>

#include "io/temporary_folder.hpp"
#include "kernels/rowwise/token_logprob.hpp"
#include "model/adapted.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// Of the largest: the reference's float32 rounding differs from ours in the order of sums only.
constexpr double kTolerance = 2e-5;

const std::string kFolder = std::string(M2_TEST_DATA) + "/lora-tiny";

class Reference {
 public:
  Reference() : file_(kFolder + "/logits.safetensors") {}

  InputIds ids() const {
    const TensorEntry& entry = *file_.find("ids");
    std::vector<std::int64_t> wide(entry.size_bytes / sizeof(std::int64_t));
    std::memcpy(wide.data(), file_.bytes(entry).data(), entry.size_bytes);
    return {.num_sequences = int(entry.shape[0]), .length = int(entry.shape[1]), .ids = {wide.begin(), wide.end()}};
  }
  std::vector<float> floats(const std::string& name) const {
    const TensorEntry& entry = *file_.find(name);
    std::vector<float> values(entry.size_bytes / sizeof(float));
    std::memcpy(values.data(), file_.bytes(entry).data(), entry.size_bytes);
    return values;
  }

 private:
  SafetensorsFile file_;
};

std::vector<float> logits_of(MiniMaxM2ForCausalLM& model, const InputIds& ids) {
  return to_host(model.forward(ids).logits_BNV);
}

TrainingSequences sequences_of(const InputIds& ids) {
  TrainingSequences sequences;
  for (int row = 0; row < ids.num_sequences; ++row) {
    const std::span<const int> tokens = std::span(ids.ids).subspan(std::size_t(row) * ids.length, ids.length);
    sequences.add(tokens, tokens);
  }
  return sequences;
}

using Values = std::map<std::string, std::vector<float>>;

Values gradients_of(MiniMaxM2ForCausalLM& model, Recompute recompute = Recompute::none,
                    const std::function<bool(const ParameterSchema&)>& is_trained = {}) {
  const TrainingSequences sequences = sequences_of(Reference().ids());
  model.train({.recompute = {recompute}, .is_trained = is_trained});
  model.forward(sequences, 1.0f / float(sequences.num_labels()));
  model.backward();
  Values gradients;
  for (const Parameter& parameter : model.parameters()) {
    if (parameter.gradient) gradients[parameter.name()] = to_host(*parameter.gradient);
  }
  return gradients;
}

std::vector<std::byte> base_bytes(MiniMaxM2ForCausalLM& model) {
  std::vector<std::byte> bytes;
  for (const Parameter& parameter : model.base_parameters()) {
    const auto add = [&](const std::byte* data, std::size_t size) {
      const auto begin = bytes.insert(bytes.end(), size, std::byte(0));
      Kokkos::View<std::byte*, HostSpace, Kokkos::MemoryUnmanaged> to(&*begin, size);
      Kokkos::deep_copy(to, View1D<const std::byte>(data, size));
    };
    if (parameter.weight) add(parameter.weight->data(), std::size_t(parameter.weight->bytes()));
    if (parameter.vector) {
      add(reinterpret_cast<const std::byte*>(parameter.vector->data()), parameter.vector->size() * sizeof(float));
    }
  }
  return bytes;
}

TEST(Lora, LogitsAreThoseOfPeft) {
  const Reference reference;
  const std::vector<float> base = reference.floats("base"), adapted = reference.floats("adapted");
  MiniMaxM2ForCausalLM plain = Fixture("tiny-f32").model(DType::float32), model = adapted_model();
  EXPECT_TRUE(all_close(logits_of(plain, reference.ids()), base, kTolerance * max_abs(base)));
  EXPECT_TRUE(all_close(logits_of(model, reference.ids()), adapted, kTolerance * max_abs(adapted)));
  EXPECT_FALSE(all_close(adapted, base, 0.01 * max_abs(base)));
}

// Where G is the gradient of the sum W + s B A, those of the adapter are s B^T G and s G A^T.
void expect_chain_rule(const Parameter& base, const Values& of_adapter, std::span<const float> g) {
  const std::vector<float> a = to_host(base.adapter->a.values<float>()), b = to_host(base.adapter->b.values<float>());
  const std::int64_t matrices = base.adapter->a.num_matrices(), rank = base.adapter->rank(),
                     in = base.adapter->a.num_columns(), out = base.adapter->b.num_columns();
  std::vector<float> da(a.size()), db(b.size());
  for (std::int64_t e = 0; e < matrices; ++e) {
    for (std::int64_t j = 0; j < rank; ++j) {
      const std::size_t begin_a = (e * rank + j) * in, begin_b = (e * rank + j) * out;
      for (std::int64_t n = 0; n < out; ++n) {
        for (std::int64_t k = 0; k < in; ++k) {
          const float gradient = base.adapter->scale() * g[(e * out + n) * in + k];
          da[begin_a + k] += b[begin_b + n] * gradient;
          db[begin_b + n] += a[begin_a + k] * gradient;
        }
      }
    }
  }
  EXPECT_TRUE(all_close(of_adapter.at(base.name() + "/lora_A"), da, kTolerance * max_abs(da))) << base.name();
  EXPECT_TRUE(all_close(of_adapter.at(base.name() + "/lora_B"), db, kTolerance * max_abs(db))) << base.name();
}

TEST(Lora, GradientsAreThoseOfTheMergedModel) {
  const TemporaryFolder folder;
  std::filesystem::copy_file(kFolder + "/merged.safetensors", folder / "model.safetensors");
  std::filesystem::copy_file(Fixture("tiny-f32").folder + "/config.json", folder / "config.json");
  MiniMaxM2ForCausalLM merged = MiniMaxM2ForCausalLM::from_pretrained(folder.path(), {.exec = exec()});
  MiniMaxM2ForCausalLM model = adapted_model();
  const Values of_merged = gradients_of(merged), of_adapter = gradients_of(model);
  std::size_t num_adapters = 0;
  for (const Parameter& base : model.base_parameters()) {
    EXPECT_TRUE(!of_adapter.contains(base.name()) || of_adapter.at(base.name()).empty()) << base.name();
    if (!base.adapter || !base.adapter->exists()) continue;
    ++num_adapters;
    expect_chain_rule(base, of_adapter, of_merged.at(base.name()));
  }
  EXPECT_EQ(num_adapters, 3u * 6u);
}

TEST(Lora, GradientsOfRouterAndHeadBesideThoseOfTheBase) {
  MiniMaxM2ForCausalLM model = Fixture("tiny-f32").model(DType::float32);
  add_all_adapters(model, /*is_random=*/true);
  const auto everything = [](const ParameterSchema&) { return true; };
  const Values gradients = gradients_of(model, Recompute::none, everything);
  for (const Parameter& base : model.base_parameters()) {
    if (base.adapter) expect_chain_rule(base, gradients, gradients.at(base.name()));
  }
}

struct Case {
  const char* fixture;
  DType dtype;
};
constexpr Case kCases[] = {{"tiny-f32", DType::float32},
                           {"tiny-f32", DType::bfloat16},
                           {"tiny-bf16", DType::bfloat16},
                           {"tiny-fp8", DType::bfloat16}};

TEST(Lora, ZeroChangesNoBit) {
  const Reference reference;
  for (const auto& [name, dtype] : kCases) {
    for (const bool interleaved : {true, false}) {
      SCOPED_TRACE(fmt::format("{} as {}, {}", name, m2::name(dtype), interleaved ? "as loaded" : "in rows"));
      MiniMaxM2ForCausalLM plain = Fixture(name).model(dtype), model = Fixture(name).model(dtype);
      if (!interleaved) plain.deinterleave_weights(), model.deinterleave_weights();
      add_all_adapters(model, /*is_random=*/false);
      EXPECT_TRUE(same_bits(logits_of(model, reference.ids()), logits_of(plain, reference.ids())));
      const TrainingSequences sequences = sequences_of(reference.ids());
      model.train(), plain.train();
      EXPECT_TRUE(same_bits(model.forward(sequences, 1.0f).logprob_T, plain.forward(sequences, 1.0f).logprob_T));
    }
  }
}

TEST(Lora, WhatIsComputedAgainChangesNoBitAndTheBaseStays) {
  for (const auto& [name, dtype] : kCases) {
    SCOPED_TRACE(name);
    MiniMaxM2ForCausalLM model = Fixture(name).model(dtype);
    const std::vector<std::byte> before = base_bytes(model);
    add_all_adapters(model, /*is_random=*/true);
    const Values kept = gradients_of(model);
    for (const Recompute recompute : {Recompute::selective, Recompute::block}) {
      const Values again = gradients_of(model, recompute);
      for (const auto& [parameter, values] : kept) EXPECT_TRUE(same_bits(again.at(parameter), values)) << parameter;
    }
    for (const Parameter& parameter : model.adapter_parameters()) {
      EXPECT_GT(max_abs(kept.at(parameter.name())), 0.0) << parameter.name();
    }
    EXPECT_EQ(base_bytes(model), before);
  }
}

TEST(Lora, LogprobsOfTrainingHaveTheBitsOfInference) {
  const InputIds ids = Reference().ids();
  for (const auto& [name, dtype] : kCases) {
    SCOPED_TRACE(name);
    MiniMaxM2ForCausalLM model = Fixture(name).model(dtype);
    add_all_adapters(model, /*is_random=*/true);
    model.train();
    const TrainingSequences sequences = sequences_of(ids);
    const std::vector<float> trained = model.forward(sequences, 1.0f).logprob_T;
    const View3D<float> logits = model.forward(ids).logits_BNV;
    std::vector<int> targets(sequences.target_T);
    for (int& target : targets) target = std::max(target, 0);
    View1D<float> logprob("test::logprob", targets.size());
    token_logprob(exec(), View2D<const float>(logits.data(), targets.size(), logits.extent(2)),
                  integers_to_device<int>(targets), logprob);
    std::vector<float> scored = to_host(logprob);
    for (std::size_t t = 0; t < scored.size(); ++t) {
      if (sequences.target_T[t] == kNoLabel) scored[t] = 0.0f;
    }
    EXPECT_TRUE(same_bits(trained, scored));
  }
}

TEST(Lora, RefusesWhatTakesNone) {
  MiniMaxM2ForCausalLM model = Fixture("tiny-f32").model(DType::float32);
  const auto adding = [&](const char* base, int rank) {
    return [&model, base, rank] {
      model.add_adapters(std::vector<AdapterSpec>{{.base = base, .rank = rank, .alpha = 1.0}});
    };
  };
  const auto says = [](const char* text) { return ThrowsMessage<Error>(HasSubstr(text)); };
  EXPECT_THAT(adding("layers/9/attention/q_proj", 2), says("no parameter"));
  EXPECT_THAT(adding("norm", 2), says("takes none"));
  EXPECT_THAT(adding("lm_head", 0), says("rank 0"));
  adding("lm_head", 2)();
  EXPECT_THAT(adding("lm_head", 2), says("has one already"));
}

}  // namespace
}  // namespace m2::test
