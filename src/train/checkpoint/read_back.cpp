// SPDX-License-Identifier: Apache-2.0
#include "train/checkpoint/read_back.hpp"

#include <cstdint>
#include <utility>
#include <vector>

#include "checkpoint/background_tasks.hpp"
#include "io/hdf5.hpp"

namespace m2 {

void read_back(const std::string& path, int num_threads, const std::function<void()>& before_slab) {
  const Hdf5Reader reader(path);
  std::vector<std::pair<const Hdf5Dataset*, std::int64_t>> slabs;
  for (const Hdf5Dataset& dataset : reader.datasets()) {
    for (std::int64_t slab = 0; slab < dataset.num_slabs; ++slab) slabs.emplace_back(&dataset, slab);
  }
  parallel_tasks(slabs.size(), num_threads, [&](std::size_t i) {
    if (before_slab) before_slab();
    reader.verify_slab(*slabs[i].first, slabs[i].second);
  });
}

}  // namespace m2
