// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/convert/convert.hpp"

#include <algorithm>
#include <bit>
#include <memory>
#include <unordered_map>
#include <utility>

#include "checkpoint/background_tasks.hpp"
#include "checkpoint/convert/slab_converter.hpp"
#include "checkpoint/formats/hdf5_sink.hpp"
#include "checkpoint/formats/hugging_face_sink.hpp"
#include "checkpoint/name_map.hpp"
#include "checkpoint/ranks_progress.hpp"
#include "checkpoint/share_by_bytes.hpp"
#include "core/byte_size.hpp"
#include "core/error.hpp"
#include "core/stop_signal.hpp"

namespace m2 {
namespace {

bool is_creator(const Communicator* world) { return world == nullptr || world->rank() == 0; }

DType planned_dtype(const StoredTensor& tensor, DTypeChoice choice) {
  switch (choice) {
    case DTypeChoice::keep:
      return tensor.dtype;
    case DTypeChoice::bfloat16:
      return tensor.kind == ParameterKind::router ? tensor.dtype : DType::bfloat16;
    case DTypeChoice::float32:
      return tensor.kind == ParameterKind::router ? tensor.dtype : DType::float32;
    case DTypeChoice::float8:
      return tensor.may_be_fp8() ? DType::float8_e4m3fn : tensor.dtype;
  }
  return tensor.dtype;
}

Texts planned_texts(const TensorSource& source, DTypeChoice choice) {
  Texts texts = companion_texts(source);
  texts.insert(texts.begin(), {kConfigFile, planned_config(source, choice).to_json()});
  return texts;
}

// One slab of a tensor that is read, and the tensor it becomes.
struct Task {
  Slab from;
  std::size_t to;
  std::uint64_t bytes;  // read, with the scales
};

struct Tasks {
  std::vector<Task> copies;       // same bits
  std::vector<Task> conversions;  // with the block scales of either side
};

Tasks plan_tasks(const TensorSource& source, const std::vector<StoredTensor>& planned) {
  std::unordered_map<std::string_view, std::size_t> index;
  for (std::size_t i = 0; i < planned.size(); ++i) index.emplace(planned[i].name, i);
  Tasks tasks;
  for (const StoredTensor& tensor : source.tensors()) {
    const auto to = index.find(tensor.name);
    if (to == index.end()) continue;  // scales that are multiplied into their weight
    const bool is_copy = planned[to->second].dtype == tensor.dtype;
    const StoredTensor* const scales = is_copy ? nullptr : source.scales(tensor);
    const std::uint64_t slab_bytes = tensor.slab_bytes() + (scales != nullptr ? scales->slab_bytes() : 0);
    std::vector<Task>& list = is_copy ? tasks.copies : tasks.conversions;
    for (std::int64_t slab = 0; slab < tensor.num_slabs(); ++slab) {
      list.push_back({{&tensor, slab}, to->second, slab_bytes});
    }
  }
  const auto position = [&](const Task& task) { return source.disk_position(task.from); };
  std::ranges::sort(tasks.copies, {}, position);
  std::ranges::sort(tasks.conversions, {}, position);
  return tasks;
}

// Copies and conversions are divided separately, each into pieces of equal bytes that lie together on the disk: then it
// does not matter how much longer a conversion takes.
Tasks share_of(const Tasks& all, const Communicator* world) {
  const int rank = world != nullptr ? world->rank() : 0, size = world != nullptr ? world->size() : 1;
  return {share_by_bytes(all.copies, &Task::bytes, rank, size),
          share_by_bytes(all.conversions, &Task::bytes, rank, size)};
}

std::uint64_t total_bytes(const Tasks& tasks) {
  std::uint64_t bytes = 0;
  for (const auto* list : {&tasks.copies, &tasks.conversions}) {
    for (const Task& task : *list) bytes += task.bytes;
  }
  return bytes;
}

void run(const Tasks& tasks, const TensorSource& source, const std::vector<StoredTensor>& planned, int num_threads,
         RanksProgress& progress, NonFiniteReport& non_finite, TensorSink& sink) {
  const ReadWatch watch{&progress.own(), &non_finite};
  BackgroundTasks copies(tasks.copies.size(), num_threads, [&](std::size_t i) {
    const Task& task = tasks.copies[i];
    copy_slab(source, task.from, watch, sink, task.to);
  });
  while (!copies.wait_for(kTick)) progress.tick();
  // One after the other: each conversion uses all threads.
  const HostExecSpace exec;
  for (const Task& task : tasks.conversions) {
    convert_slab(exec, source, task.from, watch, sink, task.to, planned);
    progress.tick();
  }
  throw_if_stop_requested();
}

// Rank 0 learns what the others wrote, which is on the disk by then.
void gather_reports(Communicator& world, TensorSink& sink, NonFiniteReport& non_finite) {
  const bool is_creator = world.rank() == 0;
  const auto written = world.all_gather_texts(is_creator ? "" : sink.leave());
  const auto found = world.all_gather_texts(is_creator ? "" : non_finite.report());
  for (int rank = 1; is_creator && rank < world.size(); ++rank) {
    sink.add_report(written[rank]);
    non_finite.add_report(found[rank]);
  }
}

ConvertResult convert(const char* label, const TensorSource& source, const std::vector<StoredTensor>& planned,
                      Communicator* world, TensorSink& sink) {
  const Tasks tasks = share_of(plan_tasks(source, planned), world);
  const int num_on_host = world != nullptr ? world->split_by_host()->size() : 1;
  NonFiniteReport non_finite;
  RanksProgress progress(label, total_bytes(tasks), world);
  run(tasks, source, planned, num_io_threads(num_on_host), progress, non_finite, sink);
  if (world != nullptr) gather_reports(*world, sink, non_finite);
  if (is_creator(world)) sink.finish();
  const double seconds = progress.finish();
  return {.bytes = progress.total_bytes(), .seconds = seconds, .non_finite = non_finite.lines()};
}

// The creator's sink, made by `create`; on other ranks one made by `join` from the creator's invitation.
template <class Sink, class Create, class Join>
std::unique_ptr<Sink> open_sink(Communicator* world, const Create& create, const Join& join) {
  if (world == nullptr) return create();
  std::unique_ptr<Sink> sink;
  if (world->rank() == 0) sink = create();
  const std::string invitation = world->broadcast_text(sink ? sink->invitation() : "", 0);
  return sink ? std::move(sink) : join(invitation);
}

}  // namespace

Texts companion_texts(const TensorSource& source) {
  Texts texts;
  for (const TextFile& file : kTextFiles) {
    if (file.dataset == kConfigFile.dataset) continue;
    if (std::optional<std::string> text = source.text(file)) {
      M2_REQUIRE(!text->empty(), "{}: {} is empty: copy it again, or remove it", source.path(), file.file_name);
      texts.emplace_back(file, std::move(*text));
    }
  }
  return texts;
}

std::vector<StoredTensor> planned_tensors(const TensorSource& source, DTypeChoice dtype) {
  std::vector<StoredTensor> planned;
  for (const StoredTensor& tensor : source.tensors()) {
    if (tensor.is_scale) continue;
    StoredTensor out = tensor;
    out.slab_hashes.clear();
    out.dtype = planned_dtype(tensor, dtype);
    append_with_scales(planned, std::move(out));
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

std::uint64_t parse_alignment(std::string_view text) {
  const std::uint64_t bytes = parse_byte_size(text, "--alignment");
  if (std::has_single_bit(bytes) && bytes >= kMinAlignmentBytes && bytes <= kMaxAlignmentBytes) return bytes;
  raise_usage("--alignment is {}, {} bytes; expected a power of two from 4KiB to 1GiB, such as 4MiB", text, bytes);
}

ConvertResult import_checkpoint(const TensorSource& source, const std::string& out_path, DTypeChoice dtype,
                                Communicator* world, std::uint64_t alignment_bytes) {
  const std::vector<StoredTensor> planned = planned_tensors(source, dtype);
  const auto create = [&] {
    return std::make_unique<Hdf5Sink>(out_path, planned_texts(source, dtype), planned, alignment_bytes);
  };
  const auto join = [&](const std::string& invitation) { return std::make_unique<Hdf5Sink>(invitation, planned); };
  const auto sink = open_sink<Hdf5Sink>(world, create, join);
  return convert("import", source, planned, world, *sink);
}

ConvertResult export_checkpoint(const TensorSource& source, const std::string& out_folder, DTypeChoice dtype,
                                std::uint64_t max_shard_bytes, Communicator* world) {
  const std::vector<StoredTensor> planned = planned_tensors(source, dtype);
  const auto create = [&] {
    return std::make_unique<HuggingFaceSink>(out_folder, planned_texts(source, dtype), planned, max_shard_bytes);
  };
  const auto join = [&](const std::string& invitation) {
    return std::make_unique<HuggingFaceSink>(invitation, planned, max_shard_bytes);
  };
  const auto sink = open_sink<HuggingFaceSink>(world, create, join);
  return convert("export", source, planned, world, *sink);
}

}  // namespace m2
