// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>

namespace m2 {

/// The curves of a run as an HTML page that needs no other file: loss and validation loss, norm of the gradient,
/// learning rate, tokens per second, the spread over the experts. `lines`: of the metrics. `facts`: paragraphs about
/// the run, plain text.
std::string training_page(std::span<const nlohmann::ordered_json> lines, std::span<const std::string> facts);

}  // namespace m2
