// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "comm/communicator.hpp"
#include "config/deck.hpp"

namespace m2 {

/// Throws UsageError unless every rank passes the same `lines`: "the ranks have different <what>", one of the ranks,
/// the first line that differs with both values, and `advice`. Collective.
void require_same_lines(std::string_view what, const std::string& lines, std::string_view advice, Communicator& world);

/// Throws UsageError unless every rank read the same deck and finds the same contents in the files it names besides the
/// checkpoint, which is compared where it is opened. Collective.
void require_same_deck(const Deck& deck, Communicator& world);

/// Throws UsageError unless every rank's processor gets the same kernels: others differ in the last bits. Collective.
void require_same_kernels(Communicator& world);

}  // namespace m2
