// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace m2 {

/// Prints to standard output at once. Throws Error when that fails (a full disk behind a redirection).
void print_now(std::string_view text);

}  // namespace m2
