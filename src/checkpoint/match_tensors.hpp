// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/tensor_source.hpp"

namespace m2 {

/// What a checkpoint's files hold under a name, or nothing.
using FindEntry = std::function<std::optional<FileEntry>(const std::string& name)>;

/// Which names a checkpoint uses: those of the schemas for whole tensors, or the published ones for their parts.
enum class Naming { native, published };

/// The tensors of the model with the dtypes a checkpoint at `path` holds them in, when each name is there exactly once
/// in the right shape and an allowed dtype and `all_names` has no other. Throws Error with the first ten defects and
/// their number otherwise.
std::vector<StoredTensor> match_tensors(const MiniMaxM2Config& config, Naming naming, const std::string& path,
                                        std::span<const std::string> all_names, const FindEntry& find);

}  // namespace m2
