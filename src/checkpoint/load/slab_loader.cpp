// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/load/slab_loader.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <span>
#include <vector>

#include "checkpoint/float_bands.hpp"
#include "core/error.hpp"
#include "kernels/panels/panel_layout.hpp"
#include "kernels/weights/quantize.hpp"

namespace m2 {
namespace {

void store(const ExecSpace& exec, std::span<const std::byte> bytes, std::byte* destination) {
  if (kHostReachesParameters) {
    std::memcpy(destination, bytes.data(), bytes.size());
    return;
  }
  static std::mutex one_copy_at_a_time;
  const std::lock_guard lock(one_copy_at_a_time);
  const Kokkos::View<const std::byte*, HostSpace, Kokkos::MemoryUnmanaged> from(bytes.data(), bytes.size());
  const Kokkos::View<std::byte*, MemorySpace, Kokkos::MemoryUnmanaged> to(destination, bytes.size());
  Kokkos::deep_copy(exec, to, from);
  exec.fence("m2::load_parameters: the buffer is used again");
}

}  // namespace

void SlabLoader::copy(const SlabTarget& target) const {
  SlabReader reader(source_, *target.tensor, target.index, {.progress = &progress_}, read_bytes_,
                    /*fetch_ahead_bytes=*/0);
  if (target.panel_columns > 0) return copy_panels(target, reader);
  if (kHostReachesParameters) {
    reader.read({target.begin, std::size_t(reader.remaining_bytes())});
    reader.finish();
    return;
  }
  thread_local std::vector<std::byte> staging;
  staging.resize(read_bytes_);
  std::byte* destination = target.begin;
  while (reader.remaining_bytes() > 0) {
    const auto piece = std::span(staging).first(std::min<std::uint64_t>(staging.size(), reader.remaining_bytes()));
    reader.read(piece);
    store(exec_, piece, destination);
    destination += piece.size();
  }
  reader.finish();
}

// A panel's rows are still in the processor's cache when they move to their places.
void SlabLoader::copy_panels(const SlabTarget& target, SlabReader& reader) const {
  thread_local std::vector<std::byte> rows;
  rows.resize(std::size_t(panel_bytes(target.dtype, target.panel_columns)));
  for (std::byte* panel = target.begin; reader.remaining_bytes() > 0; panel += rows.size()) {
    reader.read(rows);
    try {
      pack_panel(target.dtype, target.panel_columns, rows.data(), panel);
    } catch (const Error& error) {
      raise("'{}': {}: {}", source_.path(), target.tensor->name, error.what());
    }
  }
  reader.finish();
}

void SlabLoader::convert(const SlabTarget& target) const {
  const HostExecSpace host_exec;
  FloatBands bands(source_, *target.tensor, target.index, {.progress = &progress_});
  std::vector<Bf16> rounded;
  for (FloatBand band = bands.next(host_exec); band.num_rows > 0; band = bands.next(host_exec)) {
    std::byte* const begin = target.begin + band.first_value * std::int64_t(size_bytes(target.dtype));
    if (target.dtype == DType::float32) {
      store(exec_, std::as_bytes(band.values), begin);
    } else {
      rounded.resize(band.values.size());
      convert_values<float, Bf16>(host_exec, band.values, rounded);
      store(exec_, std::as_bytes(std::span<const Bf16>(rounded)), begin);
    }
  }
  if (target.panel_columns > 0) {
    const std::int64_t num_panels =
        std::int64_t(target.memory_bytes()) / panel_bytes(target.dtype, target.panel_columns);
    rearrange_panels(exec_, target.dtype, target.panel_columns, num_panels, WeightLayout::panels, target.begin);
  }
}

}  // namespace m2
