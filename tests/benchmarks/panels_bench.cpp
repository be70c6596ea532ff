// SPDX-License-Identifier: Apache-2.0
// Each kernel for panels of this processor, one thread, FP8: panels of random bytes (one weight in 18 is subnormal)
// beside panels of normal numbers, in turns. Prints GB/s of weights and the ratio of the times; ends with 1 when random
// bytes take more than 1.3 times as long as normal numbers.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "core/fp8.hpp"
#include "kernels/panels/panel_gemm.hpp"

namespace m2 {
namespace {

constexpr int kColumns = 3072, kPanels = 16, kTurns = 15;
constexpr double kMostTimes = 1.3;

std::vector<std::byte> pack(const std::vector<Fp8E4M3>& rows) {
  const std::int64_t bytes = panel_bytes(DType::float8_e4m3fn, kColumns);
  std::vector<std::byte> panels(std::size_t(bytes) * kPanels);
  for (int i = 0; i < kPanels; ++i)
    pack_panel(DType::float8_e4m3fn, kColumns, reinterpret_cast<const std::byte*>(rows.data()) + i * bytes,
               panels.data() + i * bytes);
  return panels;
}

/// `draw` makes a weight.
template <class Draw>
std::vector<std::byte> panels_of(const Draw& draw) {
  std::vector<Fp8E4M3> rows(std::size_t(kPanels) * kPanelRows * kColumns);
  std::generate(rows.begin(), rows.end(), draw);
  return pack(rows);
}

std::vector<std::byte> panels_of_random_bytes() {
  return panels_of([random = std::mt19937(1)]() mutable {
    Fp8E4M3 value;
    do value.bits = std::uint8_t(random());
    while ((value.bits & 0x7f) == 0x7f);  // NaN
    return value;
  });
}

/// Uniform magnitudes of which none is subnormal.
std::vector<std::byte> panels_of_normal_numbers() {
  return panels_of([random = std::mt19937(2)]() mutable {
    return Fp8E4M3(std::uniform_real_distribution<float>(1.0f, 400.0f)(random) * (random() % 2 ? 1.0f : -1.0f));
  });
}

/// What all products read and write.
struct Operands {
  std::vector<Bf16> x_MK = std::vector<Bf16>(std::size_t(kPanelMaxRows) * kColumns, Bf16(0.75f));
  std::vector<float> scale_inv_C = std::vector<float>(kColumns / kPanelChunk, 0.5f);
  std::vector<float> y_MN = std::vector<float>(std::size_t(kPanelMaxRows) * kPanelRows);
};

double seconds(MultiplyPanels multiply, const std::vector<std::byte>& panels, int num_rows, Operands& operands) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kPanels; ++i) {
    const std::byte* const panel = panels.data() + i * panel_bytes(DType::float8_e4m3fn, kColumns);
    multiply({.x_MK = operands.x_MK.data(),
              .num_rows = num_rows,
              .num_columns = kColumns,
              .y_row_stride = kPanelRows,
              .y_is_float = true,
              .num_panels = 1,
              .panel_P = {{{panel, operands.scale_inv_C.data(), operands.y_MN.data()}}}});
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Whether random bytes are fast enough.
bool compare(const char* name, MultiplyPanels multiply) {
  const std::vector<std::byte> normal = panels_of_normal_numbers(), random = panels_of_random_bytes();
  Operands operands;
  bool is_fast = true;
  for (const int num_rows : {1, 8, 64, 192}) {
    double normal_s = std::numeric_limits<double>::infinity(), random_s = normal_s;
    for (int turn = 0; turn < kTurns; ++turn) {
      normal_s = std::min(normal_s, seconds(multiply, normal, num_rows, operands));
      random_s = std::min(random_s, seconds(multiply, random, num_rows, operands));
    }
    fmt::print("{} {:4} rows: normal numbers {:6.2f} GB/s, random bytes {:6.2f} GB/s, {:.2f} times as long\n", name,
               num_rows, double(normal.size()) / normal_s / 1e9, double(random.size()) / random_s / 1e9,
               random_s / normal_s);
    is_fast = is_fast && random_s <= kMostTimes * normal_s;
  }
  return is_fast;
}

}  // namespace
}  // namespace m2

int main() {
  bool is_fast = true;
  if (m2::panel_kernel_avx512() != nullptr) is_fast = m2::compare("avx512_bf16", m2::panel_kernel_avx512());
  if (m2::panel_kernel_avx2() != nullptr) is_fast = m2::compare("avx2", m2::panel_kernel_avx2()) && is_fast;
  return is_fast ? 0 : 1;
}
