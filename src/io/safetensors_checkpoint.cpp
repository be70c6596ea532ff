// SPDX-License-Identifier: Apache-2.0
#include "io/safetensors_checkpoint.hpp"

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "io/strict_json.hpp"

namespace m2 {
namespace {

using Json = nlohmann::json;

constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr const char* kSingleName = "model.safetensors";

// Tensor names of each file.
using FilesOfIndex = std::map<std::string, std::vector<std::string>>;

void check_file_name(const std::string& name, const std::string& tensor, const std::string& index_path) {
  const bool plain = !name.empty() && name != "." && name.find('/') == std::string::npos &&
                     name.find("..") == std::string::npos && name.find('\0') == std::string::npos;
  M2_REQUIRE(plain, "{}: tensor '{}' is said to be in '{}'; expected the name of a file in the same folder", index_path,
             tensor, name);
}

FilesOfIndex read_index(const std::string& path) {
  const Json index = parse_strict_json(read_text_file(path), path);
  M2_REQUIRE(index.is_object() && index.contains("weight_map") && index["weight_map"].is_object(),
             "{}: expected an object with an object 'weight_map'", path);
  FilesOfIndex files;
  for (const auto& [tensor, file] : index["weight_map"].items()) {
    M2_REQUIRE(file.is_string(), "{}: the file of tensor '{}' must be a string, found {}", path, tensor,
               file.type_name());
    const auto& file_name = file.get_ref<const std::string&>();
    check_file_name(file_name, tensor, path);
    files[file_name].push_back(tensor);
  }
  M2_REQUIRE(!files.empty(), "{}: weight_map names no tensor", path);
  return files;
}

SafetensorsFile open_listed(const std::string& folder, const std::string& name, const std::string& tensor) {
  const std::string path = folder + "/" + name;
  M2_REQUIRE(std::filesystem::exists(path), "{} is missing; {} says that it holds tensor '{}': download it", path,
             kIndexName, tensor);
  return SafetensorsFile(path);
}

void check_against_index(const SafetensorsFile& file, const std::vector<std::string>& tensors) {
  for (const std::string& tensor : tensors) {
    M2_REQUIRE(file.find(tensor) != nullptr, "tensor '{}' is not in {}, where {} says it is", tensor, file.path(),
               kIndexName);
  }
  if (file.entries().size() == tensors.size()) return;
  const std::unordered_map<std::string_view, int> known = [&] {
    std::unordered_map<std::string_view, int> names;
    for (const std::string& tensor : tensors) names.emplace(tensor, 0);
    return names;
  }();
  for (const TensorEntry& entry : file.entries()) {
    M2_REQUIRE(known.contains(entry.name), "tensor '{}' is in {} but {} does not place it there", entry.name,
               file.path(), kIndexName);
  }
}

std::vector<SafetensorsFile> open_all(const std::string& folder) {
  std::vector<SafetensorsFile> files;
  const std::string index_path = folder + "/" + kIndexName;
  if (std::filesystem::exists(index_path)) {
    for (const auto& [name, tensors] : read_index(index_path)) {
      files.push_back(open_listed(folder, name, tensors.front()));
      check_against_index(files.back(), tensors);
    }
    return files;
  }
  const std::string single_path = folder + "/" + kSingleName;
  M2_REQUIRE(std::filesystem::exists(single_path), "'{}' holds neither {} nor {}: it is no Hugging Face checkpoint",
             folder, kIndexName, kSingleName);
  files.emplace_back(single_path);
  return files;
}

}  // namespace

SafetensorsCheckpoint::SafetensorsCheckpoint(const std::string& folder) : folder_(folder), files_(open_all(folder)) {
  for (const SafetensorsFile& file : files_) {
    for (const TensorEntry& entry : file.entries()) {
      index_.emplace(entry.name, tensors_.size());
      tensors_.push_back({&file, &entry});
    }
  }
}

const SafetensorsCheckpoint::Tensor* SafetensorsCheckpoint::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

}  // namespace m2
