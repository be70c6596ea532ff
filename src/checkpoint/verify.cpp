// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <mutex>

#include "checkpoint/inspect.hpp"
#include "checkpoint/parallel.hpp"
#include "checkpoint/slab_reader.hpp"
#include "core/error.hpp"
#include "core/progress.hpp"
#include "core/stop_signal.hpp"

namespace m2 {
namespace {

struct Slab {
  const StoredTensor* tensor;
  std::int64_t index;
};

std::vector<Slab> slabs_in_disk_order(const TensorSource& source) {
  std::vector<Slab> slabs;
  for (const StoredTensor& tensor : source.tensors()) {
    for (std::int64_t slab = 0; slab < tensor.num_slabs; ++slab) slabs.push_back({&tensor, slab});
  }
  std::ranges::sort(slabs, {}, [&](const Slab& slab) {
    return source.disk_position(*slab.tensor, std::uint64_t(slab.index) * slab.tensor->slab_bytes());
  });
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

}  // namespace

VerifyResult verify_checkpoint(const TensorSource& source) {
  VerifyResult result;
  std::mutex mutex;
  for (const TextFile& file : kTextFiles) {
    collect(result.defects, mutex, [&] { source.text(file); });
  }
  const std::vector<Slab> slabs = slabs_in_disk_order(source);
  for (const StoredTensor& tensor : source.tensors()) {
    result.bytes += tensor.size_bytes();
    result.num_slabs += std::int64_t(tensor.slab_hashes.size());
  }
  NonFiniteReport non_finite;
  Progress progress("verify", std::int64_t(result.bytes), "B");
  parallel_tasks(slabs.size(), num_io_threads(), [&](std::size_t i) {
    collect(result.defects, mutex, [&] { read_slab(source, slabs[i], {&progress, &non_finite}); });
  });
  std::ranges::sort(result.defects);
  for (std::string& line : non_finite.lines()) result.defects.push_back(std::move(line));
  result.seconds = progress.elapsed_seconds();
  return result;
}

}  // namespace m2
