// SPDX-License-Identifier: Apache-2.0
// A checkpoint file: any bytes open as one, and then all its datasets can be read, or give an Error.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "io/hdf5.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int descriptor = ::memfd_create("fuzz_hdf5", MFD_CLOEXEC);
  static const std::string path = fmt::format("/proc/self/fd/{}", descriptor);
  if (::ftruncate(descriptor, 0) != 0 || ::pwrite(descriptor, data, size, 0) != static_cast<ssize_t>(size)) return 0;
  try {
    const m2::Hdf5Reader reader(path);
    for (const m2::Hdf5Dataset& dataset : reader.datasets()) {
      std::vector<std::byte> content(dataset.size_bytes);
      reader.read_slabs(dataset, 0, dataset.num_slabs, content);
    }
  } catch (const m2::Error&) {  // refused, as it should be
  }
  return 0;
}
