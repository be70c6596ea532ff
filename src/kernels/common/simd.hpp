// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Kokkos_Core.hpp>

#include "core/bf16.hpp"
#include "core/fp8.hpp"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && !defined(__CUDACC__)
#define M2_HAS_AVX512
#include "kernels/common/simd_avx512.hpp"
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__) && !defined(__CUDACC__)
#define M2_HAS_AVX2
#include "kernels/common/simd_avx2.hpp"
#endif

namespace m2 {

/// Partial sums over one contiguous row: element k goes to lane k % kLanes, on every processor.
inline constexpr int kLanes = 16;

/// a * b + c, rounded once where the processor has the instruction and twice where it has not, never left to the
/// compiler's choice: the build forbids contraction, so that two copies of one loop give the same bits.
KOKKOS_FORCEINLINE_FUNCTION float fused_multiply_add(float a, float b, float c) {
#if defined(__CUDA_ARCH__) || defined(__FP_FAST_FMAF)
  return Kokkos::fma(a, b, c);
#else
  return a * b + c;
#endif
}

#if !defined(M2_HAS_AVX512) && !defined(M2_HAS_AVX2)
/// kLanes floats: `value` takes an index.
struct Lanes {
  float value[kLanes];
};

/// The same value in each lane.
KOKKOS_FORCEINLINE_FUNCTION Lanes broadcast(float value) {
  Lanes out;
  for (int l = 0; l < kLanes; ++l) out.value[l] = value;
  return out;
}

/// kLanes contiguous elements, exactly converted to float.
template <class T>
KOKKOS_FORCEINLINE_FUNCTION Lanes load_lanes(const T* from) {
  Lanes out;
  for (int l = 0; l < kLanes; ++l) out.value[l] = float(from[l]);
  return out;
}

KOKKOS_FORCEINLINE_FUNCTION void store_lanes(const Lanes& lanes, float* to) {
  for (int l = 0; l < kLanes; ++l) to[l] = lanes.value[l];
}

KOKKOS_FORCEINLINE_FUNCTION Lanes fused_multiply_add(const Lanes& a, const Lanes& b, const Lanes& c) {
  Lanes out;
  for (int l = 0; l < kLanes; ++l) out.value[l] = fused_multiply_add(a.value[l], b.value[l], c.value[l]);
  return out;
}

/// The sum of the lanes in one fixed tree: the upper half is added to the lower until one value is left.
KOKKOS_FORCEINLINE_FUNCTION float sum(Lanes lanes) {
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) lanes.value[l] += lanes.value[l + width];
  }
  return lanes.value[0];
}
#endif

/// The first `count` < kLanes elements, then zeros.
template <class T>
KOKKOS_FORCEINLINE_FUNCTION Lanes load_lanes(const T* from, int count) {
  T padded[kLanes];
  for (int l = 0; l < kLanes; ++l) padded[l] = l < count ? from[l] : T(0.0f);
  return load_lanes(padded);
}

/// sum_k a[k] * b[k] in float32: lane l adds its products for k = l, l + kLanes, ... in order, then sum(). The order
/// depends on `count` alone; gemm's provider `kokkos` uses the same on hosts.
template <class A, class B>
KOKKOS_FORCEINLINE_FUNCTION float dot(const A* a, const B* b, int count) {
  Lanes lanes = broadcast(0.0f);
  int k = 0;
  for (; k + kLanes <= count; k += kLanes) lanes = fused_multiply_add(load_lanes(a + k), load_lanes(b + k), lanes);
  if (k < count) lanes = fused_multiply_add(load_lanes(a + k, count - k), load_lanes(b + k, count - k), lanes);
  return sum(lanes);
}

}  // namespace m2
