// SPDX-License-Identifier: Apache-2.0
// Small values and texts between hosts, and groups of ranks.
#include <unistd.h>

#include "comm/forms.hpp"

namespace m2::test {
namespace {

using ::testing::ElementsAreArray;
using Values = std::vector<std::int64_t>;

class HostValues : public Forms {};

TEST_P(HostValues, AllGather) {
  Values all;
  for (int r = 0; r < size(); ++r) all.insert(all.end(), {r * 10, std::int64_t(r) << 40, -r});
  EXPECT_THAT(comm().all_gather_values(Values{rank() * 10, std::int64_t(rank()) << 40, -rank()}),
              ElementsAreArray(all));
  EXPECT_TRUE(comm().all_gather_values({}).empty());
}

TEST_P(HostValues, Exchange) {
  Values mine, expected;
  for (int r = 0; r < size(); ++r) {
    mine.insert(mine.end(), {rank() * 100 + r, -r});
    expected.insert(expected.end(), {r * 100 + rank(), -rank()});
  }
  EXPECT_THAT(comm().exchange(mine), ElementsAreArray(expected));
}

TEST_P(HostValues, Max) {
  EXPECT_THAT(comm().max_values(Values{rank(), -rank(), 7}), ElementsAreArray(Values{size() - 1, 0, 7}));
}

TEST_P(HostValues, Texts) {
  const auto text_of = [](int r) { return std::string(r * 1500, char('a' + r)) + "\n" + std::string(1, '\0'); };
  std::vector<std::string> all;
  for (int r = 0; r < size(); ++r) all.push_back(text_of(r));
  EXPECT_EQ(comm().all_gather_texts(text_of(rank())), all);
  EXPECT_EQ(comm().all_gather_texts(""), std::vector<std::string>(size()));
  for (int root = 0; root < size(); ++root) {
    EXPECT_EQ(comm().broadcast_text(text_of(rank()), root), text_of(root));
  }
  comm().barrier();
}

TEST_P(HostValues, SplitKeepsTheOrder) {
  const auto part = comm().split(rank() % 2);
  EXPECT_EQ(part->rank(), rank() / 2);
  EXPECT_EQ(part->size(), (size() + 1 - rank() % 2) / 2);
  Values expected;
  for (int r = rank() % 2; r < size(); r += 2) expected.push_back(r);
  EXPECT_THAT(part->all_gather_values(Values{rank()}), ElementsAreArray(expected));

  const View1D<float> in = to_device<float>(std::vector{float(rank())}), out = zeros<float>(part->size());
  part->all_gather<float>(exec(), in, out);
  EXPECT_TRUE(same_bits(to_host(out), std::vector<float>(expected.begin(), expected.end())));
}

TEST_P(HostValues, SplitByHost) {
  char name[256] = {};
  ::gethostname(name, sizeof(name) - 1);
  Values expected;
  const std::vector<std::string> names = comm().all_gather_texts(name);
  for (int r = 0; r < size(); ++r) {
    if (names[r] == name) expected.push_back(r);
  }
  EXPECT_THAT(comm().split_by_host()->all_gather_values(Values{rank()}), ElementsAreArray(expected));
}

M2_TEST_ALL_FORMS(HostValues);

}  // namespace
}  // namespace m2::test
