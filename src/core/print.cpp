// SPDX-License-Identifier: Apache-2.0
#include "core/print.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/error.hpp"

namespace m2 {

void print_now(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  M2_REQUIRE(written, "standard output: cannot write {} bytes: {}", text.size(), std::strerror(errno));
}

}  // namespace m2
