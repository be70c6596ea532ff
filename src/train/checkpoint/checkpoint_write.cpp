// SPDX-License-Identifier: Apache-2.0
#include "train/checkpoint/checkpoint_write.hpp"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <unordered_map>
#include <utility>

#include "checkpoint/formats/dataset_plan.hpp"
#include "checkpoint/formats/hdf5_sink.hpp"
#include "checkpoint/load/slab_loader.hpp"
#include "core/error.hpp"
#include "core/host_copy.hpp"
#include "io/hash.hpp"
#include "train/checkpoint/load_state.hpp"
#include "train/checkpoint/read_back.hpp"

namespace m2 {
namespace {

// On hosts a piece is hashed and written while it is in the processor's cache; each copy from a GPU is waited for.
constexpr std::size_t kStagingBytes = kHostReachesParameters ? kChunkBytes : std::size_t{8} << 20;

// Of its own on a GPU: copies do not wait for the kernels of training that follow.
ExecSpace copy_instance(const ExecSpace& exec) {
  exec.fence("m2::checkpoint: weights and states are complete");
  if (kHostReachesParameters) return exec;
  return Kokkos::Experimental::partition_space(exec, 1)[0];
}

// "layers/0/moe/gate" for "layers/0/moe/gate/master".
std::optional<std::size_t> parameter_of(const std::string& state,
                                        const std::unordered_map<std::string, std::size_t>& parameters) {
  for (std::size_t end = state.rfind('/'); end != std::string::npos && end > 0; end = state.rfind('/', end - 1)) {
    if (const auto found = parameters.find(state.substr(0, end)); found != parameters.end()) return found->second;
  }
  return std::nullopt;
}

StoredTensor optimizer_tensor(const StateTensor& state) {
  StoredTensor tensor;
  tensor.name = std::string(kOptimizerGroup) + state.name;
  tensor.shape = state.shape;
  tensor.dtype = state.dtype;
  return tensor;
}

// The file if all of it is as it was written; nothing if it is damaged.
std::optional<Hdf5Reader> open_undamaged(const std::string& path) {
  try {
    read_back(path);
    return Hdf5Reader(path);
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace

CheckpointWrite::CheckpointWrite(const TrainingState& state, const ExecSpace& exec)
    : copies_(copy_instance(exec)),
      model_(state.config, state.parameters, copies_, NormDType::float32),
      texts_(state.texts) {
  texts_.insert(texts_.begin(), {kConfigFile, model_.config().to_json()});
  texts_.emplace_back(kTrainerText, state.trainer.json);
  std::unordered_map<std::string, std::size_t> index;
  for (std::size_t i = 0; i < state.parameters.size(); ++i) index.emplace(state.parameters[i].name(), i);
  std::size_t parameter = 0;
  for (const StoredTensor& tensor : model_.tensors()) {
    if (!tensor.is_scale) parameter = index.at(tensor.name);
    items_.push_back({tensor, parameter, nullptr});
  }
  for (const StateTensor& tensor : state.optimizer) {
    const std::optional<std::size_t> owner = parameter_of(tensor.name, index);
    M2_REQUIRE(owner.has_value(), "the optimizer's '{}' belongs to no parameter; expected a name like '{}/master'",
               tensor.name, state.parameters.empty() ? "norm" : state.parameters[0].name());
    items_.push_back({optimizer_tensor(tensor), *owner, tensor.data});
  }
  std::ranges::stable_sort(items_, {}, &Item::parameter);
}

std::uint64_t CheckpointWrite::bytes() const {
  std::uint64_t bytes = 0;
  for (const Item& item : items_) bytes += item.tensor.size_bytes();
  return bytes;
}

// What lies from `byte_offset` on, as long as `staging`, which is used where the host does not reach it as it is.
std::span<const std::byte> CheckpointWrite::piece(const Item& item, std::uint64_t byte_offset,
                                                  std::span<std::byte> staging) const {
  if (item.state == nullptr) {
    model_.read(item.tensor, byte_offset, staging);
    return staging;
  }
  if (kHostReachesParameters) return {item.state + byte_offset, staging.size()};
  copy_to_host(copies_, View1D<const std::byte>(item.state + byte_offset, staging.size()), staging);
  copies_.fence("m2::checkpoint: the copy is written");
  return staging;
}

// Not copy_slab() of a conversion, which a stop signal ends.
bool CheckpointWrite::write(const std::string& path, const std::function<void(std::size_t)>& released) const {
  std::vector<StoredTensor> tensors;
  for (const Item& item : items_) tensors.push_back(item.tensor);
  Hdf5Sink sink(path, texts_, tensors, kDefaultAlignmentBytes);
  std::vector<std::byte> staging(kStagingBytes);
  Hashes hashes(items_.size());
  for (std::size_t i = 0; i < items_.size(); ++i) {
    const StoredTensor& tensor = tensors[i];
    for (std::int64_t slab = 0; slab < tensor.num_slabs(); ++slab) {
      const std::uint64_t begin = Slab{&tensor, slab}.byte_offset(), end = begin + tensor.slab_bytes();
      Hash64 hash;
      for (std::uint64_t at = begin; at < end; at += staging.size()) {
        const auto out = std::span(staging).first(std::min<std::uint64_t>(staging.size(), end - at));
        const std::span<const std::byte> bytes = piece(items_[i], at, out);
        hash.update(bytes);
        sink.write(i, at, bytes);
      }
      hashes[i].push_back(hash.digest());
      sink.set_hash(i, slab, hashes[i].back());
    }
    const bool is_last_of_parameter = i + 1 == items_.size() || items_[i + 1].parameter != items_[i].parameter;
    if (is_last_of_parameter) released(items_[i].parameter + 1);
  }
  if (is_kept(path, hashes)) return false;
  sink.finish();
  return true;
}

bool CheckpointWrite::is_kept(const std::string& path, const Hashes& hashes) const {
  if (!std::filesystem::exists(path)) return false;
  const std::optional<Hdf5Reader> published = open_undamaged(path);
  if (!published) return false;
  const auto num_tensors = std::ranges::count(published->datasets(), false, &Hdf5Dataset::is_text);
  bool is_equal = std::cmp_equal(num_tensors, items_.size());
  for (std::size_t i = 0; i < items_.size() && is_equal; ++i) {
    const Hdf5Dataset* const dataset = published->find(dataset_path(items_[i].tensor));
    is_equal = dataset != nullptr && dataset->dtype == items_[i].tensor.dtype &&
               dataset->shape == items_[i].tensor.shape && dataset->hashes == hashes[i];
  }
  M2_REQUIRE(is_equal,
             "'{}' is there already, with other weights, and a checkpoint is never overwritten: choose "
             "another folder for this run, or move the file away",
             path);
  return true;
}

}  // namespace m2
