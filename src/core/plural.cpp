// SPDX-License-Identifier: Apache-2.0
#include "core/plural.hpp"

#include <fmt/format.h>

namespace m2 {

std::string counted(std::int64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string count_text(std::int64_t count) {
  if (count >= 1'000'000'000) return fmt::format("{:.1f} billion", double(count) * 1e-9);
  if (count >= 1'000'000) return fmt::format("{:.1f} million", double(count) * 1e-6);
  return fmt::format("{}", count);
}

}  // namespace m2
