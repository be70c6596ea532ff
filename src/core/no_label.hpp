// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace m2 {

/// In place of a label: the position carries no loss. The number of torch and Hugging Face.
inline constexpr int kNoLabel = -100;

}  // namespace m2
