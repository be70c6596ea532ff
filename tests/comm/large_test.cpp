// SPDX-License-Identifier: Apache-2.0
// More than 2^31 elements or bytes in one collective.
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

// Each kStride-th element is written and looked at, the others carry anything: enough to notice pieces that are lost or
// in another place, in a fraction of the time.
constexpr std::int64_t kStride = 61;

using Range = Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>;

Range places(std::size_t count) { return Range(exec(), 0, (std::int64_t(count) + kStride - 1) / kStride); }

using Bytes = View1D<Fp8E4M3>;

Bytes bytes_of(std::int64_t count) {
  return Bytes(Kokkos::view_alloc(Kokkos::WithoutInitializing, "test::bytes"), count);
}

// bytes[i] = mark(first + i)
void fill_with_marks(const Bytes& bytes, std::int64_t first = 0) {
  Kokkos::parallel_for(
      "test::fill", places(bytes.size()), KOKKOS_LAMBDA(std::int64_t place) {
        const std::int64_t i = place * kStride;
        bytes.data()[i].bits = mark(first + i);
      });
}

std::int64_t count_other_than_marks(const Bytes& bytes, std::int64_t first = 0) {
  std::int64_t wrong = 0;
  Kokkos::parallel_reduce(
      "test::compare", places(bytes.size()),
      KOKKOS_LAMBDA(std::int64_t place, std::int64_t& count) {
        const std::int64_t i = place * kStride;
        count += bytes.data()[i].bits != mark(first + i);
      },
      wrong);
  return wrong;
}

// values[i] = factor * mark(i)
void fill_with_multiples(const View1D<float>& values, float factor) {
  Kokkos::parallel_for(
      "test::fill", places(values.size()), KOKKOS_LAMBDA(std::int64_t place) {
        const std::int64_t i = place * kStride;
        values.data()[i] = factor * float(mark(i));
      });
}

std::int64_t count_other_than_multiples(const View1D<float>& values, float factor) {
  std::int64_t wrong = 0;
  Kokkos::parallel_reduce(
      "test::compare", places(values.size()),
      KOKKOS_LAMBDA(std::int64_t place, std::int64_t& count) {
        const std::int64_t i = place * kStride;
        count += values.data()[i] != factor * float(mark(i));
      },
      wrong);
  return wrong;
}

// One rank's decision for both: whether the machine has this much for all ranks, and a quarter more.
bool has_memory(std::int64_t bytes) {
  return -session().world().max_values(std::vector{-available_memory_bytes()})[0] >= bytes + bytes / 4;
}

TEST(Large, AnExchangeOfMoreThanTwoToThe31Elements) {
  Communicator& world = session().world();
  ASSERT_EQ(world.size(), 2);
  if (!has_memory(2 * kRows * kColumns)) GTEST_SKIP() << "needs 5.5 GB of memory";
  const bool sends = world.rank() == 1;
  const Bytes in = bytes_of(sends ? kRows * kColumns : 0), out = bytes_of(sends ? 0 : kRows * kColumns);
  fill_with_marks(in);
  const auto rows_of = [](const Bytes& bytes) {
    return View2D<Fp8E4M3>(bytes.data(), std::int64_t(bytes.size()) / kColumns, kColumns);
  };
  const std::vector<std::int64_t> send_rows{sends ? kRows : 0, 0}, recv_rows{0, sends ? 0 : kRows};
  world.all_to_all_v<Fp8E4M3>(exec(), rows_of(in), send_rows, rows_of(out), recv_rows);
  EXPECT_EQ(count_other_than_marks(out), 0);
}

TEST(Large, ABroadcastOfMoreThanTwoToThe31Elements) {
  Communicator& world = session().world();
  if (!has_memory(2 * kRows * kColumns)) GTEST_SKIP() << "needs 5.5 GB of memory";
  const Bytes bytes = bytes_of(kRows * kColumns);
  if (world.rank() == 1) fill_with_marks(bytes);
  world.broadcast<Fp8E4M3>(exec(), bytes, 1);
  EXPECT_EQ(count_other_than_marks(bytes), 0);
}

TEST(Large, AGatherOfMoreThanTwoToThe31Elements) {
  Communicator& world = session().world();
  if (!has_memory(3 * kRows * kColumns)) GTEST_SKIP() << "needs 8 GB of memory";
  constexpr std::int64_t kOwn = kRows * kColumns / 2;
  const Bytes in = bytes_of(kOwn), out = bytes_of(2 * kOwn);
  fill_with_marks(in, world.rank() * kOwn);
  world.all_gather<Fp8E4M3>(exec(), in, out);
  for (int r = 0; r < 2; ++r) EXPECT_EQ(count_other_than_marks(Bytes(out.data() + r * kOwn, kOwn), r * kOwn), 0) << r;
}

// In float: the numbers are small and whole, so that their sum is exact.
TEST(Large, ASumOfMoreThanTwoToThe31Bytes) {
  Communicator& world = session().world();
  if (!has_memory(2 * kRows * kColumns)) GTEST_SKIP() << "needs 5.5 GB of memory";
  constexpr std::int64_t kCount = kRows * kColumns / 4;
  const View1D<float> values(Kokkos::view_alloc(Kokkos::WithoutInitializing, "test::values"), kCount);
  fill_with_multiples(values, float(1 + world.rank()));
  world.all_reduce<float>(exec(), values, values, Reduction::sum);
  EXPECT_EQ(count_other_than_multiples(values, 3), 0);
}

}  // namespace
}  // namespace m2::test
