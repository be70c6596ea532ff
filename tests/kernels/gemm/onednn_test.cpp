// SPDX-License-Identifier: Apache-2.0
// What is particular to the provider onednn: which processors it is for, and that it stays away from AMX.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <optional>
#include <string>

#include "kernels/common/rows.hpp"
#include "kernels/gemm/gemm_cases.hpp"
#include "kernels/gemm/gemm_providers.hpp"

#ifdef KOKKOS_ENABLE_OPENMP
#include <omp.h>
#endif

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Onednn, IsRefusedWithTheWayOut) {
  if (!kRunsOnHost) GTEST_SKIP() << "this build is for devices, where oneDNN is refused whatever the dtype";
  const OnednnInstructions avx512{.avx512 = true, .avx512_bf16 = false, .amx = false},
      bf16{.avx512 = true, .avx512_bf16 = true, .amx = false}, amx{.avx512 = true, .avx512_bf16 = true, .amx = true};
  const auto refusal = [](const std::optional<OnednnInstructions>& instructions, DType activation, DType weight) {
    return std::string(onednn_refusal(instructions, activation, weight));
  };
  EXPECT_EQ(refusal(std::nullopt, DType::float32, DType::float32),
            "this build has no oneDNN; configure with it installed, or choose auto");
  EXPECT_EQ(refusal(bf16, DType::bfloat16, DType::float32),
            "oneDNN multiplies float32 by float32 and bfloat16 by bfloat16; choose auto");
  EXPECT_EQ(refusal(OnednnInstructions{}, DType::float32, DType::float32),
            "with float32 this needs a processor with AVX-512; choose auto");
  EXPECT_EQ(refusal(avx512, DType::bfloat16, DType::bfloat16),
            "with bfloat16 this needs a processor with AVX-512 BF16; choose auto");
  EXPECT_THAT(refusal(amx, DType::bfloat16, DType::bfloat16), HasSubstr("set ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16"));
  EXPECT_THAT(refusal(amx, DType::float32, DType::float32), IsEmpty());
  EXPECT_THAT(refusal(avx512, DType::float32, DType::float32), IsEmpty());
  EXPECT_THAT(refusal(bf16, DType::bfloat16, DType::bfloat16), IsEmpty());
}

/// Where oneDNN multiplies bfloat16.
class OnednnBf16 : public ::testing::Test {
 protected:
  using Op = GemmOp<Bf16, Bf16, float>;

  void SetUp() override {
    const std::string_view refusal = gemm_refusal(GemmProvider::onednn, DType::bfloat16, DType::bfloat16);
    if (!refusal.empty()) GTEST_SKIP() << refusal;
  }
};

TEST_F(OnednnBf16, UsesNoAmx) {
  Op(GemmProvider::onednn, {8, 64, 64}).run(exec());
  const auto instructions = onednn_instructions();
  ASSERT_TRUE(instructions.has_value());
  EXPECT_TRUE(instructions->avx512_bf16);
  EXPECT_FALSE(instructions->amx);
}

#ifdef KOKKOS_ENABLE_OPENMP
/// So many threads for oneDNN, which asks OpenMP.
class OnednnThreads {
 public:
  explicit OnednnThreads(int count) : before_(omp_get_max_threads()) { omp_set_num_threads(count); }
  ~OnednnThreads() { omp_set_num_threads(before_); }
  OnednnThreads(const OnednnThreads&) = delete;
  OnednnThreads& operator=(const OnednnThreads&) = delete;

 private:
  int before_;
};

bool processor_has(const std::string& flag) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string word; file >> word;) {
    if (word == flag) return true;
  }
  return false;
}

// Of the size where AMX changed bits with the batch: it would again if oneDNN took it. A primitive keeps the number of
// threads it was made with, and is made once for a shape, so one and two threads multiply other numbers of rows.
TEST_F(OnednnBf16, GivesARowTheSameBitsInAnyBatchWhereThereIsAmx) {
  if (!processor_has("amx_tile")) GTEST_SKIP() << "this processor has no AMX";
  constexpr int kOutputs = 1536, kColumns = 3072;
  const Op op(GemmProvider::onednn, {257, kOutputs, kColumns});
  const std::vector<float> two_rows = op.alone(0, 2);
  for (const int threads : {1, 2}) {
    const OnednnThreads chosen(threads);
    for (const int rows : {2, 8, 64, 256}) {
      const std::vector<float> batch = op.alone(0, rows + threads - 1);
      EXPECT_TRUE(same_bits(std::span<const float>(batch).first(two_rows.size()), two_rows))
          << rows + threads - 1 << " rows, " << threads << " threads";
    }
  }
}
#endif

}  // namespace
}  // namespace m2::test
