// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/load/pretrained.hpp"
#include "checkpoint/formats/open_checkpoint.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "checkpoint/convert/convert.hpp"
#include "checkpoint/convert/model_source.hpp"
#include "checkpoint/hugging_face_folder.hpp"
#include "checkpoint/load/slab_loader.hpp"
#include "core/error.hpp"
#include "io/temporary_folder.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"

namespace m2 {
namespace {

using test::fixture;
using test::HuggingFaceFolder;
using test::TemporaryFolder;
using ::testing::StartsWith;
using ::testing::ThrowsMessage;

MiniMaxM2ForCausalLM load(const std::string& path, std::optional<DType> dtype = std::nullopt) {
  return MiniMaxM2ForCausalLM::from_pretrained(path, {.dtype = dtype, .exec = test::exec()});
}

Parameter find(MiniMaxM2ForCausalLM& model, const std::string& name) {
  const std::vector<Parameter> parameters = model.parameters();
  return *std::ranges::find(parameters, name, &Parameter::name);
}

// The bytes of a weight, row after row.
template <class W>
std::string bytes_of(Weight weight) {
  weight.set_layout(test::exec(), WeightLayout::rows);
  const auto host = test::to_host_as_is(weight.values<W>());
  return {reinterpret_cast<const char*>(host.data()), host.size() * sizeof(W)};
}

std::string concatenated(const HuggingFaceFolder& folder, const std::vector<std::string>& names) {
  std::string bytes;
  for (const std::string& name : names) bytes += folder.tensors.at(name).bytes;
  return bytes;
}

TEST(FromPretrained, Fp8BlocksComeAsTheyAre) {
  const TemporaryFolder folder;
  const HuggingFaceFolder original = HuggingFaceFolder::read(fixture("tiny-fp8"));
  import_checkpoint(*open_checkpoint(fixture("tiny-fp8")), folder / "model.h5", DTypeChoice::keep);
  std::vector<std::string> gate_up, scales;
  for (int e = 0; e < 6; ++e) {
    for (const char* matrix : {"w1", "w3"}) {
      gate_up.push_back(fmt::format("model.layers.1.block_sparse_moe.experts.{}.{}.weight", e, matrix));
      scales.push_back(gate_up.back() + "_scale_inv");
    }
  }
  for (const std::string& path : {fixture("tiny-fp8"), folder / "model.h5"}) {
    MiniMaxM2ForCausalLM model = load(path);
    const Weight& weight = *find(model, "layers/1/moe/experts/gate_up").weight;
    EXPECT_TRUE(bytes_of<Fp8E4M3>(weight) == concatenated(original, gate_up));
    const auto host_scales = test::to_host_as_is(weight.scale_inv());
    EXPECT_TRUE(std::string(reinterpret_cast<const char*>(host_scales.data()), host_scales.size() * sizeof(float)) ==
                concatenated(original, scales));
  }
}

TEST(FromPretrained, TheRouterAndVectorsAreFloat32) {
  const HuggingFaceFolder original = HuggingFaceFolder::read(fixture("tiny-bf16"));
  MiniMaxM2ForCausalLM model = load(fixture("tiny-bf16"), DType::bfloat16);
  const Parameter gate = find(model, "layers/0/moe/gate");
  EXPECT_EQ(test::to_host(gate.weight->values<float>()),
            original.values("model.layers.0.block_sparse_moe.gate.weight"));
  EXPECT_EQ(test::to_host(*find(model, "layers/0/attention/q_norm").vector),
            original.values("model.layers.0.self_attn.q_norm.weight"));
  EXPECT_EQ(test::to_host(*find(model, "norm").vector), original.values("model.norm.weight"));
}

TEST(FromPretrained, ABfloat16ModelRoundsFloat32Weights) {
  const std::vector<float> original = HuggingFaceFolder::read(fixture("tiny-f32")).values("lm_head.weight");
  MiniMaxM2ForCausalLM model = load(fixture("tiny-f32"), DType::bfloat16);
  std::vector<float> expected = original;
  for (float& value : expected) value = float(Bf16(value));
  model.deinterleave_weights();
  EXPECT_EQ(test::to_host(model.lm_head.values<Bf16>()), expected);
}

TEST(FromPretrained, AFloat32ModelKeepsBfloat16Weights) {
  MiniMaxM2ForCausalLM model = load(fixture("tiny-bf16"), DType::float32);
  EXPECT_EQ(test::to_host(model.lm_head.values<Bf16>()),
            HuggingFaceFolder::read(fixture("tiny-bf16")).values("lm_head.weight"));
}

class SavePretrained : public ::testing::TestWithParam<std::string> {};

TEST_P(SavePretrained, GivesBackEveryValue) {
  const TemporaryFolder folder;
  load(fixture(GetParam())).save_pretrained(folder / "out");
  const HuggingFaceFolder before = HuggingFaceFolder::read(fixture(GetParam()));
  const HuggingFaceFolder after = HuggingFaceFolder::read(folder / "out");
  ASSERT_EQ(before.tensors.size(), after.tensors.size());
  for (const auto& [name, tensor] : before.tensors) EXPECT_EQ(before.values(name), after.values(name)) << name;
  EXPECT_EQ(before.texts.at("config.json"), after.texts.at("config.json"));
}

INSTANTIATE_TEST_SUITE_P(Fixtures, SavePretrained, ::testing::Values("tiny-f32", "tiny-bf16", "tiny-fp8", "demo"),
                         test::fixture_test_name);

TEST(SavePretrained, NeedsEveryExpert) {
  MiniMaxM2ForCausalLM model = load(fixture("tiny-fp8"));
  std::vector<Parameter> parameters = model.parameters();
  Parameter& gate_up = *std::ranges::find(parameters, "layers/1/moe/experts/gate_up", &Parameter::name);
  gate_up.experts = {0, 3};
  EXPECT_THAT([&] { ModelSource(model.config(), parameters, test::exec()); },
              ThrowsMessage<Error>("layers/1/moe/experts/gate_up cannot be saved: 2 of its 6 experts are in this "
                                   "process; save a model that holds all"));
}

TEST(LoadParameters, ReadsTheExpertsThatLieHere) {
  const auto source = open_checkpoint(fixture("tiny-fp8"));
  MiniMaxM2ForCausalLM model(source->config(), {.exec = test::exec()}), whole = load(fixture("tiny-fp8"));
  std::vector<Parameter> parameters = model.parameters();
  for (Parameter& parameter : parameters) {
    if (parameter.schema.is_expert_stack()) parameter.experts = {1, 4, 5};
  }
  load_parameters(*source, parameters, test::exec(), DType::bfloat16);
  const std::string name = "layers/1/moe/experts/down";
  const std::string here = bytes_of<Fp8E4M3>(*find(model, name).weight);
  const std::string all = bytes_of<Fp8E4M3>(*find(whole, name).weight);
  const std::size_t slab_bytes = all.size() / 6;
  EXPECT_TRUE(here == all.substr(slab_bytes, slab_bytes) + all.substr(4 * slab_bytes));
  parameters = model.parameters();
  auto stack = std::ranges::find(parameters, name, &Parameter::name);
  stack->experts = {6};
  EXPECT_THAT([&] { load_parameters(*source, parameters, test::exec(), DType::bfloat16); },
              ThrowsMessage<Error>(fmt::format("'{}': {} has no expert 6, only 0 to 5", source->path(), name)));
}

TEST(LoadParameters, SaysWhatTheModelDoesNotHave) {
  const auto source = open_checkpoint(fixture("tiny-f32"));
  MiniMaxM2ForCausalLM model(source->config(), {.exec = test::exec()});
  std::vector<Parameter> parameters = model.parameters();
  const auto message = [&] {
    try {
      load_parameters(*source, parameters, test::exec(), DType::float32);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  parameters.push_back({.schema = {"layers/3/input_norm", ParameterKind::norm, {64}}, .vector = parameters[1].vector});
  EXPECT_EQ(message(), fmt::format("'{}' does not hold layers/3/input_norm, which the model needs", source->path()));
  parameters.pop_back();
  parameters.pop_back();
  EXPECT_EQ(message(), fmt::format("'{}' holds lm_head, which the model does not have", source->path()));
  parameters = model.parameters();
  parameters.back().schema.shape = {384, 65};
  EXPECT_EQ(message(), fmt::format("'{}': lm_head has shape [384, 64], the model expects [384, 65]", source->path()));
}

// A checkpoint of which the names alone are there.
class UnreadSource : public TensorSource {
 public:
  explicit UnreadSource(const MiniMaxM2Config& config) : TensorSource("huge.h5", config) {
    std::vector<StoredTensor> tensors;
    const ParameterSchemas schemas(config);
    for (const ParameterSchema& schema : schemas.list()) {
      tensors.push_back(stored_tensor(schema, held_dtype(schema, DType::bfloat16, DType::bfloat16)));
    }
    set_tensors(std::move(tensors));
  }
  void read(const StoredTensor& tensor, std::uint64_t, std::span<std::byte>) const override {
    ADD_FAILURE() << tensor.name << " was read";
  }
};

TEST(LoadParameters, RefusesWhatDoesNotFitBeforeItReads) {
  if (!kHostReachesParameters) GTEST_SKIP() << "the free memory of a device is not known";
  MiniMaxM2Config config;
  config.hidden_size = 1 << 17;
  config.vocab_size = 1 << 24;  // embedding and head: 2^41 values of two bytes each
  config.num_hidden_layers = 1;
  config.num_local_experts = config.num_experts_per_tok = 1;
  MiniMaxM2ForCausalLM model(config, {.exec = test::exec()});
  std::vector<Parameter> parameters = model.parameters();
  EXPECT_THAT([&] { load_parameters(UnreadSource(config), parameters, test::exec(), DType::bfloat16); },
              ThrowsMessage<Error>(::testing::MatchesRegex(
                  "the parameters of 'huge.h5' need 8.8 TB of memory, and [0-9.]+ [kMGT]B are available: use a machine "
                  "with more, or a checkpoint with smaller weights \\(m2-convert export --dtype float8\\)")));
  EXPECT_EQ(model.lm_head.data(), nullptr);
}

TEST(LoadParameters, TakesTheBytesOfTheCheckpointAndFloat32WhereTheSchemaStaysSo) {
  const auto source = open_checkpoint(fixture("tiny-fp8"));
  MiniMaxM2ForCausalLM model = load(fixture("tiny-fp8"), DType::bfloat16);
  std::int64_t expected = 0;  // FP8 with its scales and bfloat16 matrices as stored
  for (const StoredTensor& tensor : source->tensors()) {
    expected += tensor.num_values() * std::int64_t(tensor.stays_float32() ? 4 : size_bytes(tensor.dtype));
  }
  std::int64_t found = 0;
  for (const Parameter& parameter : model.parameters()) found += parameter.storage_bytes(parameter.dtype());
  EXPECT_EQ(found, expected);
}

}  // namespace
}  // namespace m2
