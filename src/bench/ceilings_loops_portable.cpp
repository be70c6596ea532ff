// SPDX-License-Identifier: Apache-2.0
// Processors whose vector units are not known here, and builds whose kernels run on a device.
#include "bench/ceilings_loops.hpp"

namespace m2 {

PeakLoop float32_peak_loop() { return portable_peak_loop(); }

std::optional<PeakLoop> bfloat16_peak_loop() { return std::nullopt; }

}  // namespace m2
