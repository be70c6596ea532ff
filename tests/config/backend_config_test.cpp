// SPDX-License-Identifier: Apache-2.0
#include "config/backend_config.hpp"

#include <gmock/gmock.h>

#include <limits>

namespace m2 {
namespace {

template <class E>
void expect_names_are_read_back() {
  for (std::size_t i = 0; i < kEnumNames<E>.size(); ++i) EXPECT_EQ(parse_enum<E>(kEnumNames<E>[i]), E(i));
}

TEST(BackendConfig, NamesAreReadBack) {
  expect_names_are_read_back<GemmProvider>();
  expect_names_are_read_back<RmsNormOrder>();
  expect_names_are_read_back<Precision>();
  expect_names_are_read_back<DispatcherBackend>();
  EXPECT_EQ(name(GemmProvider::kokkos_kernels), "kokkos_kernels");
  EXPECT_EQ(name(DispatcherBackend::local), "local");
}

TEST(BackendConfig, AnUnknownWordIsRefusedWithTheAllowedOnes) {
  EXPECT_THAT([] { parse_enum<GemmProvider>("cublas"); },
              ::testing::ThrowsMessage<Error>("'cublas' is not one of auto, kokkos, kokkos_kernels, onednn"));
  EXPECT_THAT([] { parse_enum<Precision>(""); }, ::testing::ThrowsMessage<Error>("'' is not one of float32, bfloat16"));
}

TEST(BackendConfig, TheDefaultsAreTheMoreExact) {
  const BackendConfig config;
  EXPECT_EQ(config.rms_norm, RmsNormOrder::cast_last);
  EXPECT_EQ(config.rope_tables, Precision::float32);
  EXPECT_EQ(config.gate_precision, Precision::float32);
  EXPECT_FALSE(config.fake_balanced_gate);
  EXPECT_NO_THROW(config.validate());
}

TEST(BackendConfig, FakeGateNoiseIsAFraction) {
  BackendConfig config;
  config.fake_gate_noise = 1.0f;
  EXPECT_NO_THROW(config.validate());
  config.fake_gate_noise = 1.5f;
  EXPECT_THAT([&] { config.validate(); },
              ::testing::ThrowsMessage<Error>(
                  "BackendConfig: key 'fake_gate_noise': found 1.5, expected a number from 0 to 1"));
  config.fake_gate_noise = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(config.validate(), Error);
}

}  // namespace
}  // namespace m2
