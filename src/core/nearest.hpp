// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace m2 {

/// The candidate with the fewest single-character edits (insert, delete, replace, swap of neighbours) from `word`; the
/// first of equals. Empty if none is within a third of the longer word's length: such a hint would only confuse.
std::string_view nearest(std::string_view word, std::span<const std::string> candidates);

/// "; did you mean 'batch.max_tokens'?", or nothing where nearest() finds nothing.
std::string did_you_mean(std::string_view word, std::span<const std::string> candidates);

}  // namespace m2
