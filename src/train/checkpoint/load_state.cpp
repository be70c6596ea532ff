// SPDX-License-Identifier: Apache-2.0
#include "train/checkpoint/load_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/background_tasks.hpp"
#include "checkpoint/load/parallel_load.hpp"
#include "checkpoint/load/pretrained.hpp"
#include "core/error.hpp"
#include "io/shape.hpp"
#include "train/checkpoint/checkpoint_write.hpp"

namespace m2 {
namespace {

constexpr std::size_t kMaxListedDefects = 10;

std::string describe(DType dtype, std::span<const std::int64_t> shape) {
  return fmt::format("{} {}", name(dtype), shape_text(shape));
}

std::string defects_text(const std::vector<std::string>& defects) {
  std::string text;
  for (std::size_t i = 0; i < std::min(defects.size(), kMaxListedDefects); ++i) text += "\n  " + defects[i];
  if (defects.size() > kMaxListedDefects) text += fmt::format("\n  and {} more", defects.size() - kMaxListedDefects);
  return text;
}

// Every dataset of the optimizer, each with the memory that it fills.
std::vector<std::pair<const StoredTensor*, const StateTensor*>> match(const TensorSource& source,
                                                                      std::span<const StateTensor> tensors) {
  std::map<std::string, const StoredTensor*> stored;
  for (const StoredTensor& other : source.others()) {
    if (other.name.starts_with(kOptimizerGroup)) stored.emplace(other.name, &other);
  }
  std::vector<std::pair<const StoredTensor*, const StateTensor*>> pairs;
  std::vector<std::string> defects;
  std::map<std::string, const StoredTensor*> left = stored;
  for (const StateTensor& tensor : tensors) {
    const std::string path = std::string(kOptimizerGroup) + tensor.name;
    const auto found = stored.find(path);
    if (found == stored.end()) {
      defects.push_back(fmt::format("'{}' {} is missing", path, describe(tensor.dtype, tensor.shape)));
      continue;
    }
    const StoredTensor& other = *found->second;
    if (left.erase(path) == 0) {
      defects.push_back(fmt::format("'{}' is asked for twice", path));
    } else if (other.dtype != tensor.dtype || other.shape != tensor.shape) {
      defects.push_back(fmt::format("'{}' is {}, expected {}", path, describe(other.dtype, other.shape),
                                    describe(tensor.dtype, tensor.shape)));
    }
    pairs.emplace_back(&other, &tensor);
  }
  for (const auto& [path, other] : left) {
    defects.push_back(
        fmt::format("'{}' {} belongs to nothing that is trained now", path, describe(other->dtype, other->shape)));
  }
  M2_REQUIRE(defects.empty(),
             "'{}' does not hold the optimizer state of this run ({} {}){}\n  expected is a "
             "checkpoint of the same optimizer with the same trained parameters; restore the model alone to begin anew",
             source.path(), defects.size(), defects.size() == 1 ? "defect" : "defects", defects_text(defects));
  return pairs;
}

}  // namespace

TrainerState read_trainer_state(const TensorSource& source) {
  std::optional<std::string> json = source.text(kTrainerText);
  M2_REQUIRE(json.has_value(),
             "'{}' has no {}: it is not a checkpoint of a training run, and only a model can be "
             "restored from it",
             source.path(), kTrainerText.dataset);
  return {std::move(*json)};
}

void load_state(const TensorSource& source, std::span<const StateTensor> tensors, const ExecSpace& exec) {
  LoadPlan plan;
  for (const auto& [stored, tensor] : match(source, tensors)) {
    std::byte* begin = tensor->data;
    for (std::int64_t slab = 0; slab < stored->num_slabs(); ++slab) {
      plan.own.push_back({{stored, slab}, tensor->dtype, begin, /*panel_columns=*/0});
      begin += stored->slab_bytes();
    }
  }
  std::ranges::sort(plan.own, {}, [&](const SlabTarget& target) { return source.disk_position(target); });
  RanksProgress progress("load optimizer", plan.bytes_read_here(), nullptr);
  ParallelLoad(source, exec, LoadOptions().read_bytes, plan, progress).run(num_io_threads());
  progress.finish();
}

}  // namespace m2
