// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/inspect/diff.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "checkpoint/background_tasks.hpp"
#include "checkpoint/float_bands.hpp"
#include "checkpoint/slab_reader.hpp"
#include "core/progress.hpp"
#include "io/shape.hpp"

namespace m2 {
namespace {

// Two sources, and a tensor they both have in the same shape.
struct CommonTensor {
  const TensorSource& source_a;
  const TensorSource& source_b;
  const StoredTensor& a;
  const StoredTensor& b;
};

bool equal_slab(const CommonTensor& pair, std::int64_t slab, Progress& progress) {
  thread_local std::vector<std::byte> bytes_a(kChunkBytes), bytes_b(kChunkBytes);
  SlabReader reader_a(pair.source_a, pair.a, slab, {.progress = &progress});
  SlabReader reader_b(pair.source_b, pair.b, slab, {.progress = &progress});
  while (reader_a.remaining_bytes() > 0) {
    const std::size_t count = std::min<std::uint64_t>(kChunkBytes, reader_a.remaining_bytes());
    reader_a.read(std::span(bytes_a).first(count));
    reader_b.read(std::span(bytes_b).first(count));
    if (std::memcmp(bytes_a.data(), bytes_b.data(), count) != 0) return false;
  }
  reader_a.finish();
  reader_b.finish();
  return true;
}

bool equal_bits(const CommonTensor& pair, Progress& progress) {
  if (pair.a.dtype != pair.b.dtype) return false;
  std::atomic<bool> equal{true};
  parallel_tasks(std::size_t(pair.a.num_slabs()), num_io_threads(), [&](std::size_t slab) {
    if (equal && !equal_slab(pair, std::int64_t(slab), progress)) equal = false;
  });
  return equal;
}

// Weights with block scales are equal when both are.
bool equal_weights(const CommonTensor& pair, Progress& progress) {
  if (!equal_bits(pair, progress)) return false;
  const StoredTensor* scales_a = pair.source_a.scales(pair.a);
  if (scales_a == nullptr) return true;
  return equal_bits({pair.source_a, pair.source_b, *scales_a, *pair.source_b.scales(pair.b)}, progress);
}

struct LargestDifference {
  double difference = 0;
  std::int64_t index = 0;  // within the tensor
  float a = 0;
  float b = 0;

  void add(float value_a, float value_b, std::int64_t at) {
    double gap = std::abs(double(value_a) - double(value_b));
    if (value_a == value_b || (std::isnan(value_a) && std::isnan(value_b))) gap = 0;
    if (std::isnan(gap)) gap = std::numeric_limits<double>::infinity();  // one of them is a NaN
    if (gap > difference) *this = {gap, at, value_a, value_b};
  }
};

LargestDifference largest_difference(const HostExecSpace& exec, const CommonTensor& pair) {
  LargestDifference largest;
  for (std::int64_t slab = 0; slab < pair.a.num_slabs(); ++slab) {
    FloatBands bands_a(pair.source_a, pair.a, slab, {});
    FloatBands bands_b(pair.source_b, pair.b, slab, {});
    const std::int64_t slab_begin = slab * (pair.a.num_values() / pair.a.num_slabs());
    for (FloatBand a = bands_a.next(exec), b = bands_b.next(exec); a.num_rows > 0;
         a = bands_a.next(exec), b = bands_b.next(exec)) {
      for (std::size_t i = 0; i < a.values.size(); ++i) {
        largest.add(a.values[i], b.values[i], slab_begin + a.first_value + std::int64_t(i));
      }
    }
  }
  return largest;
}

std::string describe_difference(const HostExecSpace& exec, const CommonTensor& pair) {
  std::string text = pair.a.name + ": ";
  if (pair.a.dtype != pair.b.dtype) text += fmt::format("{} against {}, ", name(pair.a.dtype), name(pair.b.dtype));
  const LargestDifference largest = largest_difference(exec, pair);
  if (largest.difference == 0) return text + "other bits, equal values";
  return text + fmt::format("largest difference {:.3g} at {}: {:.9g} against {:.9g}", largest.difference,
                            index_text(std::uint64_t(largest.index), pair.a.shape), largest.a, largest.b);
}

void diff_tensors(const TensorSource& a, const TensorSource& b, DiffResult& result) {
  std::uint64_t bytes = 0;
  for (const TensorSource* source : {&a, &b}) {
    for (const StoredTensor& tensor : source->tensors()) bytes += tensor.size_bytes();
  }
  Progress progress("diff", std::int64_t(bytes), "B");
  const HostExecSpace exec;
  for (const StoredTensor& tensor : a.tensors()) {
    if (tensor.is_scale) continue;
    const StoredTensor* other = b.find(tensor.name);
    if (other == nullptr) {
      result.differences.push_back(fmt::format("{}: only in {}", tensor.name, a.path()));
    } else if (other->shape != tensor.shape) {
      result.differences.push_back(
          fmt::format("{}: shape {} against {}", tensor.name, shape_text(tensor.shape), shape_text(other->shape)));
    } else if (const CommonTensor pair{a, b, tensor, *other}; equal_weights(pair, progress)) {
      ++result.num_equal;
    } else {
      result.differences.push_back(describe_difference(exec, pair));
    }
  }
  for (const StoredTensor& tensor : b.tensors()) {
    if (!tensor.is_scale && a.find(tensor.name) == nullptr) {
      result.differences.push_back(fmt::format("{}: only in {}", tensor.name, b.path()));
    }
  }
}

void diff_configs(const TensorSource& a, const TensorSource& b, DiffResult& result) {
  using Json = nlohmann::json;
  const Json config_a = Json::parse(a.config().to_json()), config_b = Json::parse(b.config().to_json());
  Json keys = config_a;
  keys.update(config_b);
  const auto text = [](const Json& config, const std::string& key) {
    return config.contains(key) ? config[key].dump() : std::string("nothing");
  };
  for (const auto& [key, value] : keys.items()) {
    if (text(config_a, key) == text(config_b, key)) continue;
    result.differences.push_back(
        fmt::format("{}: {}: {} against {}", kConfigFile.file_name, key, text(config_a, key), text(config_b, key)));
  }
}

void diff_texts(const TensorSource& a, const TensorSource& b, DiffResult& result) {
  for (const TextFile& file : kTextFiles) {
    if (file.dataset == kConfigFile.dataset) continue;
    const std::optional<std::string> text_a = a.text(file), text_b = b.text(file);
    if (text_a.has_value() != text_b.has_value()) {
      result.differences.push_back(fmt::format("{}: only in {}", file.file_name, text_a ? a.path() : b.path()));
    } else if (text_a != text_b) {
      result.differences.push_back(fmt::format("{}: the texts differ", file.file_name));
    }
  }
}

}  // namespace

DiffResult diff_checkpoints(const TensorSource& a, const TensorSource& b) {
  DiffResult result;
  diff_tensors(a, b, result);
  diff_configs(a, b, result);
  diff_texts(a, b, result);
  return result;
}

std::string diff_text(const DiffResult& result) {
  std::string text;
  for (const std::string& difference : result.differences) text += difference + "\n";
  return text + fmt::format("{} tensors are equal bit by bit, {} {}\n", result.num_equal, result.differences.size(),
                            result.differences.size() == 1 ? "difference" : "differences");
}

}  // namespace m2
