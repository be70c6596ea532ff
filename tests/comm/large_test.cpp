// SPDX-License-Identifier: Apache-2.0
// More than 2^31 elements in one exchange.
#include <gtest/gtest.h>

#include "core/memory.hpp"
#include "support/exec.hpp"
#include "support/ranks.hpp"

namespace m2::test {
namespace {

constexpr std::int64_t kColumns = 1000, kRows = 2'150'000;
static_assert(kRows * kColumns > std::int64_t(1) << 31);

// Differs between neighbours and between multiples of any power of two: upper bits of a product with an odd number.
KOKKOS_INLINE_FUNCTION std::uint8_t mark(std::int64_t i) {
  return std::uint8_t((std::uint64_t(i) * 0x9e3779b97f4a7c15u) >> 56);
}

TEST(Large, AnExchangeOfMoreThanTwoToThe31Elements) {
  Communicator& world = session().world();
  ASSERT_EQ(world.size(), 2);
  const std::int64_t needed = world.size() * kRows * kColumns;
  const std::int64_t available = available_memory_bytes();
  // One rank's decision for both.
  if (-world.max_values(std::vector{-available})[0] < needed + needed / 4) GTEST_SKIP() << "needs 5.5 GB of memory";

  const bool sends = world.rank() == 1;
  const auto rows_here = [&](bool here) {
    const auto label = Kokkos::view_alloc(Kokkos::WithoutInitializing, "test::rows");
    return View2D<Fp8E4M3>(label, here ? kRows : 0, kColumns);
  };
  const View2D<Fp8E4M3> in = rows_here(sends), out = rows_here(!sends);
  Kokkos::parallel_for(
      "test::fill", Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(exec(), 0, in.size()),
      KOKKOS_LAMBDA(std::int64_t i) { in.data()[i].bits = mark(i); });
  const std::vector<std::int64_t> send_rows{sends ? kRows : 0, 0}, recv_rows{0, sends ? 0 : kRows};
  world.all_to_all_v<Fp8E4M3>(exec(), in, send_rows, out, recv_rows);

  std::int64_t wrong = 0;
  Kokkos::parallel_reduce(
      "test::compare", Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(exec(), 0, out.size()),
      KOKKOS_LAMBDA(std::int64_t i, std::int64_t& count) { count += out.data()[i].bits != mark(i); }, wrong);
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace m2::test
