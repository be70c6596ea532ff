// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/peft_adapter.hpp"

#include <gmock/gmock.h>

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "checkpoint/formats/adapter_config.hpp"
#include "io/file.hpp"
#include "io/safetensors_writer.hpp"
#include "io/temporary_folder.hpp"
#include "model/adapted.hpp"

namespace m2::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const std::string kAdapter = std::string(M2_TEST_DATA) + "/lora-tiny/adapter";

MiniMaxM2Config config() { return Fixture("tiny-f32").model(DType::float32).config(); }

// The tensors of a file, by name.
struct Tensor {
  std::vector<std::int64_t> shape;
  std::vector<float> values;

  bool operator==(const Tensor&) const = default;
};
using Tensors = std::map<std::string, Tensor>;

Tensors read_tensors(const std::string& folder) {
  const SafetensorsFile file(folder + "/adapter_model.safetensors");
  Tensors tensors;
  for (const TensorEntry& entry : file.entries()) {
    Tensor& tensor = tensors[entry.name];
    tensor.shape = entry.shape;
    tensor.values.resize(entry.size_bytes / sizeof(float));
    std::memcpy(tensor.values.data(), file.bytes(entry).data(), entry.size_bytes);
  }
  return tensors;
}

// A folder like the fixture's, with other tensors or another configuration.
class AdapterFolder {
 public:
  void write(const Tensors& tensors) const {
    std::vector<TensorEntry> entries;
    for (const auto& [name, tensor] : tensors)
      entries.push_back({.name = name, .dtype = DType::float32, .shape = tensor.shape});
    SafetensorsWriter writer(folder_ / "adapter_model.safetensors", entries, {});
    std::size_t index = 0;
    for (const auto& [name, tensor] : tensors) writer.write(index++, 0, std::as_bytes(std::span(tensor.values)));
    writer.finish();
    nlohmann::json json = nlohmann::json::parse(read_text_file(kAdapter + "/adapter_config.json"));
    json.update(changes);
    write_text_file_atomically(folder_ / "adapter_config.json", json.dump());
  }
  PeftAdapter open() const { return PeftAdapter(folder_.path(), config()); }
  std::string path() const { return folder_.path(); }

  nlohmann::json changes = nlohmann::json::object();

 private:
  TemporaryFolder folder_;
};

std::vector<float> logits_of(MiniMaxM2ForCausalLM& model) {
  return to_host(model.forward(Fixture("tiny-f32").input_ids()).logits_BNV);
}

Tensor transposed(const Tensor& tensor) {
  const auto rows = tensor.shape[0], columns = tensor.shape[1];
  Tensor out{{columns, rows}, std::vector<float>(tensor.values.size())};
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) out.values[j * rows + i] = tensor.values[i * columns + j];
  }
  return out;
}

TEST(PeftAdapter, GoesInAndOutBitByBit) {
  MiniMaxM2ForCausalLM model = adapted_model();
  const TemporaryFolder folder;
  write_adapter(model, folder / "out", "base");
  EXPECT_EQ(read_tensors(folder / "out"), read_tensors(kAdapter));
  const auto written = nlohmann::json::parse(read_text_file(folder / "out/adapter_config.json"));
  const auto of_peft = nlohmann::json::parse(read_text_file(kAdapter + "/adapter_config.json"));
  for (const char* key : {"r", "lora_alpha", "rank_pattern", "alpha_pattern", "target_parameters", "peft_type", "bias",
                          "base_model_name_or_path"}) {
    EXPECT_EQ(written.at(key), of_peft.at(key)) << key;
  }
  EXPECT_THAT(written.at("target_modules").get<std::vector<std::string>>(),
              ElementsAre("q_proj", "k_proj", "v_proj", "o_proj"));
  MiniMaxM2ForCausalLM again = adapted_model(folder / "out");
  EXPECT_TRUE(same_bits(logits_of(again), logits_of(model)));
}

// Ranks and factors of their own, the router and the head, in some layers only.
TEST(PeftAdapter, KeepsWhatDiffersBetweenModules) {
  const std::vector<AdapterSpec> specs{{"layers/0/attention/q_proj", 2, 4.0},    {"layers/0/moe/gate", 5, 4.0},
                                       {"layers/1/attention/q_proj", 2, 4.0},    {"layers/1/moe/experts/down", 2, 1.5},
                                       {"layers/2/moe/experts/gate_up", 2, 4.0}, {"lm_head", 7, 8.0}};
  MiniMaxM2ForCausalLM model = Fixture("tiny-f32").model(DType::float32);
  model.add_adapters(specs);
  model.initialize_adapters(3);
  const TemporaryFolder folder;
  write_adapter(model, folder / "out", "base");
  const PeftAdapter adapter(folder / "out", model.config());
  EXPECT_EQ(adapter.adapters(), specs);
  const auto json = nlohmann::json::parse(read_text_file(folder / "out/adapter_config.json"));
  EXPECT_THAT(json.at("target_modules").get<std::vector<std::string>>(),
              ElementsAre("model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj", "lm_head"));
  EXPECT_THAT(json.at("target_parameters").get<std::vector<std::string>>(),
              ElementsAre("model.layers.0.mlp.gate.weight", "model.layers.1.mlp.experts.down_proj",
                          "model.layers.2.mlp.experts.gate_up_proj"));
}

// In older exports A of an expert stack is the present B, transposed, with experts outside; and B the present A.
TEST(PeftAdapter, OlderExportsExchangeTheHalvesOfExperts) {
  constexpr std::int64_t kExperts = 8, kRank = 3;
  Tensors tensors = read_tensors(kAdapter);
  const auto regrouped = [](const Tensor& tensor, bool to_experts_outside) {  // of the rows
    Tensor out = tensor;
    const std::int64_t width = tensor.shape[1];
    for (std::int64_t e = 0; e < kExperts; ++e) {
      for (std::int64_t j = 0; j < kRank; ++j) {
        const std::int64_t outside = e * kRank + j, inside = j * kExperts + e;
        const std::int64_t from = to_experts_outside ? inside : outside, to = to_experts_outside ? outside : inside;
        std::copy_n(tensor.values.begin() + from * width, width, out.values.begin() + to * width);
      }
    }
    return out;
  };
  for (int layer = 0; layer < 3; ++layer) {
    for (const char* module : {"experts", "experts.base_layer"}) {
      const std::string prefix = fmt::format("base_model.model.model.layers.{}.mlp.{}.lora_", layer, module);
      Tensor &a = tensors.at(prefix + "A.weight"), &b = tensors.at(prefix + "B.weight");
      const Tensor old_a = regrouped(transposed(b), true), old_b = transposed(regrouped(a, false));
      a = old_a;
      b = old_b;
    }
  }
  AdapterFolder folder;
  folder.write(tensors);
  MiniMaxM2ForCausalLM model = adapted_model(), older = adapted_model(folder.path());
  EXPECT_TRUE(same_bits(logits_of(older), logits_of(model)));
}

TEST(PeftAdapter, RanksAndFactorsOfTheConfiguration) {
  const auto with = [](const char* changes) {
    nlohmann::json json = nlohmann::json::parse(read_text_file(kAdapter + "/adapter_config.json"));
    json.update(nlohmann::json::parse(changes));
    return AdapterConfig::from_json(json.dump(), "adapter_config.json");
  };
  const AdapterConfig patterns =
      with(R"({"rank_pattern": {"q_proj": 4, "layers.1.mlp.experts.down_proj": 9}, "alpha_pattern": {"o_proj": 1.5}})");
  EXPECT_EQ(patterns.rank("model.layers.0.self_attn.q_proj"), 4);
  EXPECT_EQ(patterns.rank("model.layers.0.self_attn.k_proj"), 3);
  EXPECT_EQ(patterns.rank("model.layers.1.mlp.experts.down_proj"), 9);
  EXPECT_EQ(patterns.rank("model.layers.2.mlp.experts.down_proj"), 3);
  EXPECT_EQ(patterns.alpha("model.layers.0.self_attn.o_proj"), 1.5);
  EXPECT_EQ(patterns.alpha("model.layers.0.self_attn.q_proj"), 6.0);
  EXPECT_DOUBLE_EQ(with(R"({"use_rslora": true, "r": 4})").alpha("lm_head"), 12.0);  // 6 / sqrt(4) = 12 / 4
}

TEST(PeftAdapter, RefusesWhatItCannotUse) {
  const auto says = [](const std::string& text) { return ThrowsMessage<Error>(HasSubstr(text)); };
  const std::string kName = "base_model.model.model.layers.0.self_attn.q_proj.lora_";
  const auto opening = [&](const std::function<void(Tensors&, nlohmann::json&)>& change) {
    return [change] {
      AdapterFolder folder;
      Tensors tensors = read_tensors(kAdapter);
      change(tensors, folder.changes);
      folder.write(tensors);
      folder.open();
    };
  };
  EXPECT_THAT(opening([&](Tensors& tensors, auto&) { tensors.erase(kName + "B.weight"); }),
              says(kName + "A.weight: shape [3, 64], without its other half"));
  EXPECT_THAT(opening([&](Tensors& tensors, auto&) {
                for (const char* half : {"A.weight", "B.weight"})
                  tensors["base_model.model.model.layers.7.self_attn.q_proj.lora_" + std::string(half)] =
                      tensors.at(kName + half);
              }),
              says("layers.7.self_attn.q_proj.lora_A.weight: shape [3, 64], fits no weight of the model"));
  EXPECT_THAT(opening([&](Tensors& tensors, auto&) { tensors.at(kName + "A.weight").shape = {6, 32}; }),
              says("lora_A.weight: shape [6, 32], fits no weight"));
  EXPECT_THAT(opening([](Tensors& tensors, auto&) { tensors["extra"] = {{1}, {0.0f}}; }),
              says("extra: neither lora_A nor lora_B"));
  EXPECT_THAT(opening([](auto&, nlohmann::json& json) { json["rank_pattern"] = {{"q_proj", 4}}; }),
              says("found rank 3 (shape [3, 64]), adapter_config.json says 4 for model.layers.0.self_attn.q_proj"));
  EXPECT_THAT(opening([](auto&, nlohmann::json& json) { json["use_dora"] = true; }), says("use_dora"));
  EXPECT_THAT(opening([](auto&, nlohmann::json& json) { json["bias"] = "all"; }), says("bias"));
  EXPECT_THAT(opening([](auto&, nlohmann::json& json) { json["peft_type"] = "IA3"; }), says("peft_type"));
  EXPECT_THAT(opening([](auto&, nlohmann::json& json) { json["modules_to_save"] = {"lm_head"}; }),
              says("modules_to_save"));
  EXPECT_THAT(opening([](auto&, nlohmann::json& json) { json["rank_pattern"] = {{"(", 4}}; }), says("rank_pattern"));
}

}  // namespace
}  // namespace m2::test
