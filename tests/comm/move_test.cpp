// SPDX-License-Identifier: Apache-2.0
// Collectives that move arrays: gather, broadcast and the exchange of rows.
#include <fmt/format.h>

#include <numeric>

#include "comm/forms.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;

// Integers that fit into every type, and NaN for none of them.
template <class T>
std::vector<float> marks(int rank, std::int64_t count) {
  std::vector<float> values(count);
  for (std::int64_t i = 0; i < count; ++i) values[i] = float(T(float((rank * 31 + i * 7) % 15)));
  return values;
}

using Rows = std::vector<std::int64_t>;

// Rows that rank `from` sends to rank `to`: uneven, some none; rank 1 neither sends nor receives any.
std::int64_t rows_between(int from, int to, int round) {
  return from == 1 || to == 1 ? 0 : (from * 3 + to * 5 + round) % 7;
}

class Move : public Forms {
 protected:
  template <class T>
  void check_all_gather() {
    for (const std::int64_t count : kSizes) {
      std::vector<float> all;
      for (int r = 0; r < size(); ++r) {
        const auto of_rank = marks<T>(r, count);
        all.insert(all.end(), of_rank.begin(), of_rank.end());
      }
      const View1D<T> in = to_device<T>(marks<T>(rank(), count)), out = zeros<T>(count * size());
      comm().template all_gather<T>(exec(), in, out);
      EXPECT_TRUE(same_bits(to_host(out), all)) << count;
    }
  }

  template <class T>
  void check_broadcast() {
    for (const std::int64_t count : kSizes) {
      for (int root = 0; root < size(); ++root) {
        const View1D<T> inout = to_device<T>(marks<T>(rank(), count));
        comm().template broadcast<T>(exec(), inout, root);
        EXPECT_TRUE(same_bits(to_host(inout), marks<T>(root, count))) << count << " from " << root;
      }
    }
  }

  // The rows of one exchange, and what must arrive. Row i from a to b holds marks of their numbers.
  template <class T>
  struct Exchange {
    Rows send_rows, recv_rows;
    View2D<T> in, out;
    std::vector<float> expected;
  };

  template <class T>
  Exchange<T> make_exchange(std::int64_t width, int round) {
    Exchange<T> exchange;
    std::vector<float> sent;
    const auto append = [&](std::vector<float>& rows, int from, int to) {
      const auto values = marks<T>(from * 5 + to + round, rows_between(from, to, round) * width);
      rows.insert(rows.end(), values.begin(), values.end());
    };
    for (int r = 0; r < size(); ++r) {
      exchange.send_rows.push_back(rows_between(rank(), r, round));
      exchange.recv_rows.push_back(rows_between(r, rank(), round));
      append(sent, rank(), r);
      append(exchange.expected, r, rank());
    }
    const std::int64_t num_sent = std::accumulate(exchange.send_rows.begin(), exchange.send_rows.end(), 0);
    const std::int64_t num_received = std::accumulate(exchange.recv_rows.begin(), exchange.recv_rows.end(), 0);
    sent.resize((num_sent + 2) * width);  // views may be larger
    exchange.expected.resize((num_received + 3) * width);
    exchange.in = to_device<T>(sent, num_sent + 2, width);
    exchange.out = zeros<T>(num_received + 3, width);
    return exchange;
  }

  template <class T>
  void check_all_to_all_v() {
    for (const std::int64_t width : {1, 3, 257, 5000}) {
      auto a = make_exchange<T>(width, 0), b = make_exchange<T>(width, 1);
      comm().template all_to_all_v<T>(exec(), a.in, a.send_rows, a.out, a.recv_rows);
      EXPECT_TRUE(same_bits(to_host(a.out), a.expected)) << width;
      Kokkos::deep_copy(exec(), a.out, T(0.0f));
      auto of_a = comm().template start_all_to_all_v<T>(exec(), a.in, a.send_rows, a.out, a.recv_rows);
      auto of_b = comm().template start_all_to_all_v<T>(exec(), b.in, b.send_rows, b.out, b.recv_rows);
      of_b->wait(exec());
      of_a->wait(exec());
      EXPECT_TRUE(same_bits(to_host(a.out), a.expected)) << width << ", one of two under way";
      EXPECT_TRUE(same_bits(to_host(b.out), b.expected)) << width << ", the other of two under way";
    }
  }

  template <class F>
  std::string error_of(const F& f) {
    try {
      f();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
};

TEST_P(Move, AllGather) {
  check_all_gather<float>();
  check_all_gather<Bf16>();
  check_all_gather<Fp8E4M3>();
  check_all_gather<std::int32_t>();
  check_all_gather<std::int64_t>();
}

TEST_P(Move, Broadcast) {
  check_broadcast<float>();
  check_broadcast<Bf16>();
  check_broadcast<Fp8E4M3>();
  check_broadcast<std::int32_t>();
  check_broadcast<std::int64_t>();
}

TEST_P(Move, RowsGoWhereTheyBelong) {
  check_all_to_all_v<float>();
  check_all_to_all_v<Bf16>();
  check_all_to_all_v<Fp8E4M3>();
  check_all_to_all_v<std::int32_t>();
  check_all_to_all_v<std::int64_t>();
}

TEST_P(Move, NoRowsAtAll) {
  const Rows none(size(), 0);
  const View2D<float> empty = zeros<float>(0, 5);
  EXPECT_EQ(error_of([&] { comm().all_to_all_v<float>(exec(), empty, none, empty, none); }), "no error");
}

TEST_P(Move, RefusesRowsThatDoNotFit) {
  const View2D<float> in = zeros<float>(4, 2), out = zeros<float>(4, 2);
  Rows five(size(), 0), none(size(), 0);
  five[rank()] = 5;
  const auto exchange = [&](const Rows& send, const Rows& recv, const View2D<float>& to) {
    return error_of([&] { comm().all_to_all_v<float>(exec(), in, send, to, recv); });
  };
  EXPECT_EQ(exchange(five, five, out), "all_to_all_v: send_rows adds up to 5 rows, the view has 4");
  EXPECT_THAT(exchange(Rows(size() + 1, 0), none, out), HasSubstr("expected one for each of"));
  EXPECT_EQ(exchange(none, none, zeros<float>(4, 3)), "all_to_all_v: in has 2 columns, out 3; both need the same");
  five[rank()] = 1;
  EXPECT_THAT(exchange(five, none, out), HasSubstr("sends itself 1 rows and expects 0"));
  five[rank()] = -1;
  EXPECT_THAT(exchange(five, five, out), HasSubstr("is -1, expected 0 or more"));
}

TEST_P(Move, SaysThatAnotherNumberOfRowsCame) {
  if (std::string_view(comm().kind()) != "MPI") GTEST_SKIP() << "only MPI can tell";
  for (const std::int64_t surplus : {-1, 1}) {  // each rank sends 4 rows to the next one, which expects 3 or 5
    const View2D<float> in = zeros<float>(4, 2), out = zeros<float>(6, 2);
    const int next = (rank() + 1) % size(), last = (rank() - 1 + size()) % size();
    Rows send(size(), 0), recv(size(), 0);
    send[next] = 4;
    recv[last] = 4 + surplus;
    EXPECT_THAT(error_of([&] { comm().all_to_all_v<float>(exec(), in, send, out, recv); }),
                HasSubstr(surplus < 0 ? fmt::format("rank {} sent more than the 24 bytes expected from it", last)
                                      : fmt::format("rank {} sent 32 bytes, 40 were expected", last)));
  }
}

TEST_P(Move, RefusesOtherRootsAndSizes) {
  const View1D<float> one = zeros<float>(1);
  EXPECT_EQ(error_of([&] { comm().broadcast<float>(exec(), one, size()); }),
            fmt::format("broadcast: root is rank {}, there are ranks 0 to {}", size(), size() - 1));
  EXPECT_THAT(error_of([&] { comm().all_gather<float>(exec(), one, zeros<float>(size() + 1)); }),
              HasSubstr(fmt::format("all_gather: out has {} elements", size() + 1)));
}

M2_TEST_ALL_FORMS(Move);

}  // namespace
}  // namespace m2::test
