// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "core/dtype.hpp"

int main() {
  const m2::DType dtype = m2::parse_dtype("bfloat16");
  std::printf("bfloat16: %zu bytes\n", m2::size_bytes(dtype));
}
