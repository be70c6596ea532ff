// SPDX-License-Identifier: Apache-2.0
// Each kernel for panels that this processor can run, whichever of them it would choose.
#include <gtest/gtest.h>

#ifdef __x86_64__
#include <xmmintrin.h>
#endif

#include <cmath>
#include <cstring>
#include <random>
#include <set>
#include <vector>

#include "kernels/gemm/gemm_cases.hpp"
#include "kernels/panels/panel_gemm.hpp"

namespace m2::test {
namespace {

struct PanelKernel {
  const char* name;
  MultiplyPanels multiply;
};

std::vector<PanelKernel> kernels() {
  std::vector<PanelKernel> out;
  for (const PanelKernel& kernel :
       {PanelKernel{"avx512", panel_kernel_avx512()}, PanelKernel{"avx2", panel_kernel_avx2()}}) {
    if (kernel.multiply != nullptr) out.push_back(kernel);
  }
  return out;
}

/// A panel's rows with FP8 numbers in no order: what neighbours hold must not matter. No NaN is in panels.
std::vector<Fp8E4M3> random_fp8_numbers(int num_columns) {
  std::vector<Fp8E4M3> rows(std::size_t(kPanelRows) * num_columns);
  std::mt19937 random(1);
  for (Fp8E4M3& value : rows) {
    const auto bits = std::uint8_t(random());
    value.bits = (bits & 0x7f) == 0x7f ? std::uint8_t(0) : bits;
  }
  return rows;
}

TEST(PanelKernels, ExpandEveryFp8NumberExactly) {
  constexpr int kColumns = 256;
  constexpr float kActivation = -1.6171875f;  // eight bits
  const std::vector<Fp8E4M3> rows = random_fp8_numbers(kColumns);
  std::set<int> numbers[2];
  for (std::size_t i = 0; i < rows.size(); ++i) numbers[i % 2].insert(rows[i].bits);
  for (const auto& column : numbers) ASSERT_EQ(column.size(), 254u) << "all but two NaN, in both columns of a pair";
  for (const PanelKernel& kernel : kernels()) {
    std::vector<Fp8E4M3> panel(rows.size());
    pack_panel(DType::float8_e4m3fn, kColumns, reinterpret_cast<const std::byte*>(rows.data()),
               reinterpret_cast<std::byte*>(panel.data()));
    for (const int num_rows : {1, 2, 3, 4, 6, 8, 20}) {
      for (int first = 0; first < kColumns; first += num_rows) {
        std::vector<Bf16> x(std::size_t(num_rows) * kColumns, Bf16(0.0f));
        const auto column = [=](int m) { return (first + m) % kColumns; };
        for (int m = 0; m < num_rows; ++m) x[m * kColumns + column(m)] = Bf16(kActivation);
        std::vector<float> y(std::size_t(num_rows) * kPanelRows, NAN);
        const float scale_inv_C[2] = {0.5f, 0.5f};
        kernel.multiply({.x_MK = x.data(),
                         .num_rows = num_rows,
                         .num_columns = kColumns,
                         .y_row_stride = kPanelRows,
                         .y_is_float = true,
                         .num_panels = 1,
                         .panel_P = {{{panel.data(), scale_inv_C, y.data()}}}});
        for (int i = 0; i < std::ssize(y); ++i) {
          ASSERT_EQ(y[i], kActivation * 0.5f * float(rows[i % kPanelRows * kColumns + column(i / kPanelRows)]))
              << kernel.name << ", column " << column(i / kPanelRows) << " of row " << i % kPanelRows;
        }
      }
    }
  }
}

TEST(PanelLayout, HoldsEveryFp8Number) {
  for (const int num_columns : {2, 6, 256}) {  // one pair, fewer than are packed at once, more
    const std::vector<Fp8E4M3> rows = random_fp8_numbers(num_columns);
    std::vector<Fp8E4M3> panel(rows.size()), back(rows.size());
    pack_panel(DType::float8_e4m3fn, num_columns, reinterpret_cast<const std::byte*>(rows.data()),
               reinterpret_cast<std::byte*>(panel.data()));
    unpack_panel(DType::float8_e4m3fn, num_columns, reinterpret_cast<const std::byte*>(panel.data()), 0, kPanelRows,
                 reinterpret_cast<std::byte*>(back.data()));
    EXPECT_EQ(std::memcmp(rows.data(), back.data(), rows.size()), 0) << num_columns << " columns";
  }
}

TEST(PanelKernels, AgreeWithThePlainSum) {
  constexpr int kColumns = 270;
  for (const PanelKernel& kernel : kernels()) {
    for (const int num_rows : {1, 5, 6, 23, 192}) {
      const auto x = random_rows<Bf16>(0, num_rows, kColumns, 1), w = random_rows<Bf16>(0, kPanelRows, kColumns, 2);
      const std::vector<Bf16> x_MK(x.begin(), x.end()), rows(w.begin(), w.end());
      std::vector<Bf16> panel(rows.size()), y(std::size_t(num_rows) * kPanelRows);
      pack_panel(DType::bfloat16, kColumns, reinterpret_cast<const std::byte*>(rows.data()),
                 reinterpret_cast<std::byte*>(panel.data()));
      kernel.multiply({.x_MK = x_MK.data(),
                       .num_rows = num_rows,
                       .num_columns = kColumns,
                       .y_row_stride = kPanelRows,
                       .y_is_float = false,
                       .num_panels = 1,
                       .panel_P = {{{panel.data(), nullptr, y.data()}}}});
      for (int i = 0; i < std::ssize(y); ++i) {
        double sum = 0, terms = 0;
        for (int k = 0; k < kColumns; ++k) {
          const double product = double(x[i / kPanelRows * kColumns + k]) * double(w[i % kPanelRows * kColumns + k]);
          sum += product;
          terms += std::abs(product);
        }
        ASSERT_NEAR(float(y[i]), sum, (kColumns + 3) * kUnit<float> * terms + kUnit<Bf16> * std::abs(sum))
            << kernel.name << ", output " << i;
      }
    }
  }
}

#ifdef __x86_64__
// Subnormal numbers in float arithmetic cost some 150 cycles each on Intel: one in 18 of random bytes would make a
// kernel seventy times slower. The processor notes that it met one.
TEST(PanelKernels, MeetNoSubnormalNumberInFp8) {
  constexpr int kColumns = 256;
  constexpr unsigned kFlags = 0x3f, kDenormal = 0x02, kUnderflow = 0x10;
  const std::vector<Fp8E4M3> rows = random_fp8_numbers(kColumns);
  std::vector<Fp8E4M3> panel(rows.size());
  pack_panel(DType::float8_e4m3fn, kColumns, reinterpret_cast<const std::byte*>(rows.data()),
             reinterpret_cast<std::byte*>(panel.data()));
  const float scale_inv_C[2] = {0.5f, 0.25f};
  for (const PanelKernel& kernel : kernels()) {
    for (const int num_rows : {1, 2, 3, 4, 6, 7, 8, 20, 192}) {
      const auto values = random_rows<Bf16>(0, num_rows, kColumns, 1);
      const std::vector<Bf16> x_MK(values.begin(), values.end());
      std::vector<float> y(std::size_t(num_rows) * kPanelRows);
      const unsigned before = _mm_getcsr();
      _mm_setcsr(before & ~kFlags);
      kernel.multiply({.x_MK = x_MK.data(),
                       .num_rows = num_rows,
                       .num_columns = kColumns,
                       .y_row_stride = kPanelRows,
                       .y_is_float = true,
                       .num_panels = 1,
                       .panel_P = {{{panel.data(), scale_inv_C, y.data()}}}});
      const unsigned after = _mm_getcsr();
      _mm_setcsr(before);
      EXPECT_EQ(after & kDenormal, 0u) << kernel.name << ", " << num_rows << " rows: a subnormal operand";
      EXPECT_EQ(after & kUnderflow, 0u) << kernel.name << ", " << num_rows << " rows: a subnormal result";
    }
  }
}
#endif

}  // namespace
}  // namespace m2::test
