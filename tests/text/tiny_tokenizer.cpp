// SPDX-License-Identifier: Apache-2.0
#include "text/tiny_tokenizer.hpp"

#include <fstream>
#include <sstream>

#include "core/error.hpp"
#include "text/byte_alphabet.hpp"

namespace m2::test {

nlohmann::json tiny_tokenizer_json() {
  auto json = nlohmann::json::parse(R"json({
    "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
    "added_tokens": [
      {"id": 300, "content": "<think>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": false},
      {"id": 301, "content": "]~b]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "Split", "pattern": {"Regex": " ?[^ ]+|\\s+"}, "behavior": "Removed", "invert": true},
      {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]},
    "post_processor": null,
    "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
      "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
      "vocab": {"he": 256, "ll": 257, "hell": 258, "Ġw": 259},
      "merges": [["h", "e"], ["l", "l"], ["he", "ll"], ["Ġ", "w"]]}
  })json");
  for (int byte = 0; byte < 256; ++byte) json["model"]["vocab"][byte_to_symbol(std::uint8_t(byte))] = byte;
  return json;
}

std::string load_error(const nlohmann::json& json) {
  try {
    load(json);
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

std::string read_test_data(const std::string& path) {
  std::ifstream file(M2_TEST_DATA "/" + path, std::ios::binary);
  M2_REQUIRE(file, "cannot open {}/{}", M2_TEST_DATA, path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace m2::test
