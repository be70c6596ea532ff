// SPDX-License-Identifier: Apache-2.0
#include "core/error.hpp"

#include <fmt/format.h>

namespace m2 {

void raise_formatted(fmt::string_view format, fmt::format_args args) { throw Error(fmt::vformat(format, args)); }

void raise_usage_formatted(fmt::string_view format, fmt::format_args args) {
  throw UsageError(fmt::vformat(format, args));
}

}  // namespace m2
