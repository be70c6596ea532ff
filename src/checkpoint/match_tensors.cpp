// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/match_tensors.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "core/error.hpp"
#include "core/fp8.hpp"
#include "io/shape.hpp"

namespace m2 {
namespace {

constexpr std::size_t kMaxListedDefects = 10;

class Matcher {
 public:
  Matcher(const MiniMaxM2Config& config, Naming naming, const FindEntry& find)
      : naming_(naming), has_fp8_(config.quantization.has_value()), find_(find) {}

  void match(StoredTensor tensor) {
    tensor.dtype = dtype_of(tensor);
    matched_.push_back(std::move(tensor));
    if (matched_.back().dtype == DType::float8_e4m3fn) match(scales_of(matched_.back()));
  }

  void refuse_others(std::span<const std::string> all_names) {
    for (const std::string& name : all_names) {
      if (used_.contains(name)) continue;
      const std::size_t ending = name.rfind("_scale_inv");
      if (ending != std::string::npos && used_.contains(name.substr(0, ending))) {
        defects_.push_back(fmt::format("'{}' holds the scales of a weight that is not float8_e4m3fn", name));
      } else {
        defects_.push_back(fmt::format("'{}' is not a tensor of this model", name));
      }
    }
  }

  std::vector<StoredTensor> result(const std::string& path) {
    if (defects_.empty()) return std::move(matched_);
    std::string listed;
    for (std::size_t i = 0; i < std::min(defects_.size(), kMaxListedDefects); ++i) listed += "\n  " + defects_[i];
    if (defects_.size() > kMaxListedDefects) {
      listed += fmt::format("\n  and {} more", defects_.size() - kMaxListedDefects);
    }
    raise("'{}' does not hold the tensors its configuration asks for ({} {}){}\n  expected are the names of the {}",
          path, defects_.size(), defects_.size() == 1 ? "defect" : "defects", listed,
          naming_ == Naming::native ? "format (docs/checkpoint.md)"
                                    : "released checkpoints, as save_pretrained writes them");
  }

 private:
  // The one dtype of all parts, which are entered as used; each part that does not fit is a defect.
  DType dtype_of(const StoredTensor& tensor) {
    if (naming_ == Naming::native) return check("/model/" + tensor.name, tensor, tensor.shape).value_or(DType::float32);
    const std::vector<std::int64_t> part_shape = tensor.part_shape();
    std::optional<DType> first;
    for (const std::string& part : tensor.parts) {
      const std::optional<DType> dtype = check(part, tensor, part_shape);
      if (!first) first = dtype;
      if (dtype && *dtype != *first) {
        defects_.push_back(fmt::format("'{}' is {}, expected {} as in the other parts of its stack, '{}'", part,
                                       m2::name(*dtype), m2::name(*first), tensor.parts[0]));
      }
    }
    return first.value_or(DType::float32);
  }

  std::optional<DType> check(const std::string& name, const StoredTensor& tensor, std::span<const std::int64_t> shape) {
    const std::optional<FileEntry> found = find_(name);
    if (!found) {
      defects_.push_back(fmt::format("'{}' {} is missing", name, shape_text(shape)));
      return std::nullopt;
    }
    used_.insert(name);
    const TensorEntry& entry = *found->entry;
    if (!std::ranges::equal(entry.shape, shape)) {
      defects_.push_back(fmt::format("'{}' in '{}' has shape {}, expected {}", name, found->file,
                                     shape_text(entry.shape), shape_text(shape)));
    }
    const std::vector<DType> allowed = allowed_dtypes(tensor);
    if (std::ranges::find(allowed, entry.dtype) == allowed.end()) {
      defects_.push_back(wrong_dtype(name, *found, allowed, may_be_fp8(tensor)));
      return std::nullopt;
    }
    return entry.dtype;
  }

  static bool may_be_fp8(const StoredTensor& tensor) { return tensor.may_be_fp8() && !tensor.is_scale; }

  std::vector<DType> allowed_dtypes(const StoredTensor& tensor) const {
    if (tensor.is_scale) return {DType::float32};
    std::vector<DType> allowed{DType::float32, DType::bfloat16};
    if (may_be_fp8(tensor) && has_fp8_) allowed.push_back(DType::float8_e4m3fn);
    return allowed;
  }

  static std::string wrong_dtype(const std::string& name, const FileEntry& found, const std::vector<DType>& allowed,
                                 bool may_be_fp8) {
    std::vector<std::string_view> names;
    for (const DType dtype : allowed) names.push_back(m2::name(dtype));
    const bool is_unannounced = found.entry->dtype == DType::float8_e4m3fn && may_be_fp8;
    return fmt::format("'{}' in '{}' is {}, expected {}{}", name, found.file, m2::name(found.entry->dtype),
                       fmt::join(names, " or "), is_unannounced ? " unless config.json has a quantization_config" : "");
  }

  Naming naming_;
  bool has_fp8_;
  const FindEntry& find_;
  std::vector<StoredTensor> matched_;
  std::unordered_set<std::string> used_;
  std::vector<std::string> defects_;
};

}  // namespace

std::vector<StoredTensor> match_tensors(const MiniMaxM2Config& config, Naming naming, const std::string& path,
                                        std::span<const std::string> all_names, const FindEntry& find) {
  if (config.quantization) {
    const auto [rows, columns] = config.quantization->weight_block_size;
    M2_REQUIRE(rows == kFp8Block && columns == kFp8Block,
               "'{}': weight_block_size is [{}, {}], expected [{}, {}]: other FP8 blocks are not supported", path, rows,
               columns, kFp8Block, kFp8Block);
  }
  Matcher matcher(config, naming, find);
  const ParameterSchemas schemas(config);
  for (const ParameterSchema& schema : schemas.list()) matcher.match(stored_tensor(schema, config.dtype));
  matcher.refuse_others(all_names);
  return matcher.result(path);
}

}  // namespace m2
