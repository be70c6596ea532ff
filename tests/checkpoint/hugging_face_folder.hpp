// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/tensor_source.hpp"
#include "core/bf16.hpp"
#include "core/fp8.hpp"
#include "io/file.hpp"
#include "io/safetensors_checkpoint.hpp"
#include "io/safetensors_writer.hpp"

namespace m2::test {

/// "tiny-f32", "tiny-bf16", "tiny-fp8" or "demo": a small Hugging Face folder.
inline std::string fixture(const std::string& name) {
  return name == "demo" ? M2_SOURCE_DIR "/inputs/demo/checkpoint" : M2_TEST_DATA "/" + name;
}

/// The name of a test whose parameter is a fixture.
inline std::string fixture_test_name(const ::testing::TestParamInfo<std::string>& parameter) {
  std::string name = parameter.param;
  std::erase(name, '-');
  return name;
}

struct HuggingFaceTensor {
  DType dtype{};
  std::vector<std::int64_t> shape;
  std::string bytes;

  bool operator==(const HuggingFaceTensor&) const = default;
};

/// All of a Hugging Face folder in memory, to be compared, or changed and written again.
struct HuggingFaceFolder {
  std::map<std::string, HuggingFaceTensor> tensors;
  std::map<std::string, std::string> texts;  ///< by file name

  static HuggingFaceFolder read(const std::string& folder) {
    HuggingFaceFolder out;
    const SafetensorsCheckpoint files(folder);
    for (const auto& [file, entry] : files.tensors()) {
      const auto bytes = file->bytes(*entry);
      out.tensors[entry->name] = {entry->dtype, entry->shape,
                                  std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())};
    }
    for (const TextFile& text : kTextFiles) {
      const std::string path = folder + "/" + std::string(text.file_name);
      if (std::filesystem::exists(path)) out.texts[std::string(text.file_name)] = read_text_file(path);
    }
    return out;
  }

  void write(const std::string& folder) const {
    std::filesystem::create_directories(folder);
    for (const auto& [name, text] : texts) write_text_file_atomically(folder + "/" + name, text);
    std::vector<TensorEntry> plans;
    for (const auto& [name, tensor] : tensors) plans.push_back({name, tensor.dtype, tensor.shape});
    SafetensorsWriter writer(folder + "/model.safetensors", plans, {{"format", "pt"}});
    std::size_t index = 0;
    for (const auto& [name, tensor] : tensors) writer.write(index++, 0, std::as_bytes(std::span(tensor.bytes)));
    writer.finish();
  }

  /// The values of a float32, bfloat16 or FP8 tensor, FP8 without its scales.
  std::vector<float> values(const std::string& name) const {
    const HuggingFaceTensor& tensor = tensors.at(name);
    std::vector<float> out(tensor.bytes.size() / size_bytes(tensor.dtype));
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = value(tensor, i);
    return out;
  }

 private:
  template <class T>
  static T element(const HuggingFaceTensor& tensor, std::size_t i) {
    T element;
    std::memcpy(&element, tensor.bytes.data() + i * sizeof(T), sizeof(T));
    return element;
  }

  static float value(const HuggingFaceTensor& tensor, std::size_t i) {
    switch (tensor.dtype) {
      case DType::bfloat16:
        return float(element<Bf16>(tensor, i));
      case DType::float8_e4m3fn:
        return float(element<Fp8E4M3>(tensor, i));
      default:
        return element<float>(tensor, i);
    }
  }
};

}  // namespace m2::test
