// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "core/enum_names.hpp"

namespace m2 {

/// How router logits become scores.
enum class ScoringFunc { sigmoid, softmax };
template <>
inline constexpr std::array<std::string_view, 2> kEnumNames<ScoringFunc>{"sigmoid", "softmax"};

/// Where the normalised row is rounded to the storage type: after the product with the weight (NeMo, vLLM, SGLang; more
/// exact) or before it (Hugging Face).
enum class RmsNormOrder { cast_last, cast_first };
template <>
inline constexpr std::array<std::string_view, 2> kEnumNames<RmsNormOrder>{"cast_last", "cast_first"};

/// Who multiplies matrices. With each provider a row of the result has the same bits whatever other rows are in the
/// batch. The last two are part of a build where their libraries were found when it was configured.
enum class GemmProvider : std::uint8_t {
  /// In configurations only: resolve() says whom it stands for.
  automatic,
  /// Our own kernel: every combination of dtypes, FP8 expanded on the fly, no workspace. Allocates nothing and waits
  /// for nothing; on hosts it reads a group's offsets when it is called.
  kokkos,
  /// KokkosBlas::gemm on copies in float32: slower, an independent check on every backend. grouped_gemm waits for the
  /// instance, because the host reads the offsets.
  kokkos_kernels,
  /// oneDNN's matmul, on hosts: float x float32 with AVX-512, Bf16 x bfloat16 with its BF16. Waits for the instance,
  /// has multiplied when it returns, and keeps up to 1024 primitives (some 10 KB each) for as long as the program runs.
  onednn
};
template <>
inline constexpr std::array<std::string_view, 4> kEnumNames<GemmProvider>{"auto", "kokkos", "kokkos_kernels", "onednn"};

/// `automatic` is kokkos for every size and type: a choice by size would make a token's bits depend on the batch.
constexpr GemmProvider resolve(GemmProvider provider) {
  return provider == GemmProvider::automatic ? GemmProvider::kokkos : provider;
}

}  // namespace m2
