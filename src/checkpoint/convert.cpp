// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/convert.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "checkpoint/hdf5_sink.hpp"
#include "checkpoint/hugging_face_sink.hpp"
#include "checkpoint/parallel.hpp"
#include "checkpoint/slab_converter.hpp"
#include "core/error.hpp"
#include "core/progress.hpp"
#include "core/stop_signal.hpp"

namespace m2 {
namespace {

DType planned_dtype(const StoredTensor& tensor, DTypeChoice choice) {
  switch (choice) {
    case DTypeChoice::keep:
      return tensor.dtype;
    case DTypeChoice::bfloat16:
      return tensor.kind == TensorKind::router ? tensor.dtype : DType::bfloat16;
    case DTypeChoice::float32:
      return tensor.kind == TensorKind::router ? tensor.dtype : DType::float32;
    case DTypeChoice::float8:
      return tensor.may_be_fp8 ? DType::float8_e4m3fn : tensor.dtype;
  }
  return tensor.dtype;
}

Texts planned_texts(const TensorSource& source, DTypeChoice choice) {
  Texts texts{{kConfigFile, planned_config(source, choice).to_json()}};
  for (const TextFile& file : kTextFiles) {
    if (file.dataset == kConfigFile.dataset) continue;
    if (std::optional<std::string> text = source.text(file)) {
      M2_REQUIRE(!text->empty(), "{}: {} is empty: copy it again, or remove it", source.path(), file.file_name);
      texts.emplace_back(file, std::move(*text));
    }
  }
  return texts;
}

// One slab of a tensor that is read, and the tensor it becomes.
struct Task {
  const StoredTensor* from;
  std::size_t to;
  std::int64_t slab;
};

struct Tasks {
  std::vector<Task> copies;       // same bits
  std::vector<Task> conversions;  // with the block scales of either side
  std::uint64_t bytes = 0;
};

Tasks plan_tasks(const TensorSource& source, const std::vector<StoredTensor>& planned) {
  std::unordered_map<std::string_view, std::size_t> index;
  for (std::size_t i = 0; i < planned.size(); ++i) index.emplace(planned[i].name, i);
  Tasks tasks;
  for (const StoredTensor& tensor : source.tensors()) {
    tasks.bytes += tensor.size_bytes();
    const auto to = index.find(tensor.name);
    if (to == index.end()) continue;  // scales that are multiplied into their weight
    std::vector<Task>& list = planned[to->second].dtype == tensor.dtype ? tasks.copies : tasks.conversions;
    for (std::int64_t slab = 0; slab < tensor.num_slabs; ++slab) list.push_back({&tensor, to->second, slab});
  }
  const auto position = [&](const Task& task) {
    return source.disk_position(*task.from, std::uint64_t(task.slab) * task.from->slab_bytes());
  };
  std::ranges::sort(tasks.copies, {}, position);
  std::ranges::sort(tasks.conversions, {}, position);
  return tasks;
}

ConvertResult convert(const char* label, const TensorSource& source, const std::vector<StoredTensor>& planned,
                      TensorSink& sink) {
  const Tasks tasks = plan_tasks(source, planned);
  NonFiniteReport non_finite;
  ConvertResult result;
  {
    Progress progress(label, std::int64_t(tasks.bytes), "B");
    const ReadWatch watch{&progress, &non_finite};
    parallel_tasks(tasks.copies.size(), num_io_threads(), [&](std::size_t i) {
      const Task& task = tasks.copies[i];
      copy_slab(source, *task.from, task.slab, watch, sink, task.to);
    });
    // One after the other: each conversion uses all threads.
    const HostExecSpace exec;
    for (const Task& task : tasks.conversions) {
      convert_slab(exec, source, *task.from, task.slab, watch, sink, task.to, planned);
    }
    throw_if_stop_requested();
    sink.finish();
    result.seconds = progress.elapsed_seconds();
  }
  result.bytes = tasks.bytes;
  result.non_finite = non_finite.lines();
  return result;
}

}  // namespace

std::vector<StoredTensor> planned_tensors(const TensorSource& source, DTypeChoice dtype) {
  std::vector<StoredTensor> planned;
  for (const StoredTensor& tensor : source.tensors()) {
    if (tensor.is_scale) continue;
    StoredTensor out = tensor;
    out.slab_hashes.clear();
    out.dtype = planned_dtype(tensor, dtype);
    planned.push_back(out);
    if (out.dtype == DType::float8_e4m3fn) planned.push_back({scales_of(out), DType::float32, {}});
  }
  return planned;
}

MiniMaxM2Config planned_config(const TensorSource& source, DTypeChoice dtype) {
  MiniMaxM2Config config = source.config();
  switch (dtype) {
    case DTypeChoice::keep:
      break;
    case DTypeChoice::bfloat16:
      config.dtype = DType::bfloat16;
      config.quantization.reset();
      break;
    case DTypeChoice::float32:
      config.dtype = DType::float32;
      config.quantization.reset();
      break;
    case DTypeChoice::float8:
      if (!config.quantization) config.quantization = released_quantization();
      break;
  }
  return config;
}

ConvertResult import_checkpoint(const TensorSource& source, const std::string& out_path, DTypeChoice dtype) {
  const std::vector<StoredTensor> planned = planned_tensors(source, dtype);
  Hdf5Sink sink(out_path, planned_texts(source, dtype), planned);
  return convert("import", source, planned, sink);
}

ConvertResult export_checkpoint(const TensorSource& source, const std::string& out_folder, DTypeChoice dtype,
                                std::uint64_t max_shard_bytes) {
  const std::vector<StoredTensor> planned = planned_tensors(source, dtype);
  HuggingFaceSink sink(out_folder, planned_texts(source, dtype), planned, max_shard_bytes);
  return convert("export", source, planned, sink);
}

}  // namespace m2
