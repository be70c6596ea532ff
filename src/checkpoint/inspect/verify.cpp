// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/inspect/verify.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <nlohmann/json.hpp>

#include "checkpoint/background_tasks.hpp"
#include "checkpoint/ranks_progress.hpp"
#include "checkpoint/share_by_bytes.hpp"
#include "checkpoint/slab_reader.hpp"
#include "core/byte_size.hpp"
#include "core/error.hpp"
#include "core/stop_signal.hpp"

namespace m2 {
namespace {

// A piece of the model or of what lies beside it, whose values may be anything.
struct CheckedSlab : Slab {
  bool is_of_model;
};

std::vector<CheckedSlab> slabs_in_disk_order(const TensorSource& source) {
  std::vector<CheckedSlab> slabs;
  for (const auto* list : {&source.tensors(), &source.others()}) {
    for (const StoredTensor& tensor : *list) {
      for (std::int64_t slab = 0; slab < tensor.num_slabs(); ++slab) {
        slabs.push_back({{&tensor, slab}, list == &source.tensors()});
      }
    }
  }
  std::ranges::sort(slabs, {}, [&](const Slab& slab) { return source.disk_position(slab); });
  return slabs;
}

void read_slab(const TensorSource& source, const Slab& slab, ReadWatch watch) {
  thread_local std::vector<std::byte> buffer(kChunkBytes);
  SlabReader reader(source, *slab.tensor, slab.index, watch);
  while (reader.remaining_bytes() > 0) {
    reader.read(std::span(buffer).first(std::min<std::uint64_t>(kChunkBytes, reader.remaining_bytes())));
  }
  reader.finish();
}

// Runs one check; what it throws is a defect, and the other checks go on.
template <class Check>
void collect(std::vector<std::string>& defects, std::mutex& mutex, const Check& check) {
  try {
    check();
  } catch (const Interrupted&) {
    throw;
  } catch (const Error& error) {
    const std::lock_guard lock(mutex);
    defects.emplace_back(error.what());
  }
}

// Rank 0 learns what the others found.
void gather(Communicator& world, std::vector<std::string>& defects, NonFiniteReport& non_finite) {
  const auto all_defects = world.all_gather_texts(nlohmann::json(defects).dump());
  const auto found = world.all_gather_texts(non_finite.report());
  for (int rank = 1; world.rank() == 0 && rank < world.size(); ++rank) {
    for (const nlohmann::json& defect : nlohmann::json::parse(all_defects[rank])) defects.push_back(defect);
    non_finite.add_report(found[rank]);
  }
}

}  // namespace

VerifyResult verify_checkpoint(const TensorSource& source, Communicator* world) {
  const int rank = world != nullptr ? world->rank() : 0, size = world != nullptr ? world->size() : 1;
  VerifyResult result;
  std::mutex mutex;
  for (const TextFile& file : kTextFiles) {
    if (rank == 0) collect(result.defects, mutex, [&] { source.text(file); });
  }
  const std::vector<CheckedSlab> slabs = share_by_bytes(slabs_in_disk_order(source), &Slab::size_bytes, rank, size);
  std::uint64_t own_bytes = 0;
  for (const Slab& slab : slabs) own_bytes += slab.size_bytes();
  for (const auto* list : {&source.tensors(), &source.others()}) {
    for (const StoredTensor& tensor : *list) result.num_slabs += std::int64_t(tensor.slab_hashes.size());
  }
  NonFiniteReport non_finite;
  const int num_threads = num_io_threads(world != nullptr ? world->split_by_host()->size() : 1);
  RanksProgress progress("verify", own_bytes, world);
  BackgroundTasks reads(slabs.size(), num_threads, [&](std::size_t i) {
    const ReadWatch watch{&progress.own(), slabs[i].is_of_model ? &non_finite : nullptr};
    collect(result.defects, mutex, [&] { read_slab(source, slabs[i], watch); });
  });
  while (!reads.wait_for(kTick)) progress.tick();
  if (world != nullptr) gather(*world, result.defects, non_finite);
  std::ranges::sort(result.defects);
  for (std::string& line : non_finite.lines()) result.defects.push_back(std::move(line));
  result.bytes = progress.total_bytes();
  result.seconds = progress.finish();
  return result;
}

std::string verify_text(const VerifyResult& result, const std::string& path) {
  std::string text;
  for (const std::string& defect : result.defects) text += fmt::format("defect: {}\n", defect);
  return text + fmt::format("{}: {} read, {} hashes compared, {} {}\n", path, byte_size_text(result.bytes),
                            result.num_slabs, result.defects.size(), result.defects.size() == 1 ? "defect" : "defects");
}

}  // namespace m2
