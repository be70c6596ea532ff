// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>

#include <memory>
#include <span>
#include <vector>

#include "comm/communicator.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/ranks.hpp"

namespace m2::test {

/// The forms of Communicator that the suite runs on.
enum class Form { one_rank, mpi, mpi_in_pieces, nccl, world };

/// Those of this build: NCCL's only where it was found.
std::vector<Form> forms();

/// A communicator of each form: over one rank (each rank has its own), and over all of them by MPI, by MPI in pieces of
/// 50000 bytes, by NCCL (on one rank, too; skipped where ranks share a GPU), and what Session chooses.
class Forms : public ::testing::TestWithParam<Form> {
 protected:
  void SetUp() override;

  Communicator& comm() { return owned_ ? *owned_ : session().world(); }
  int rank() { return comm().rank(); }
  int size() { return comm().size(); }

 private:
  std::unique_ptr<Communicator> owned_;
};

std::string name_of(const ::testing::TestParamInfo<Form>& info);

#define M2_TEST_ALL_FORMS(Suite) INSTANTIATE_TEST_SUITE_P(All, Suite, ::testing::ValuesIn(forms()), name_of)

/// Sizes that leave ranks without elements, end in the middle of pieces, and are larger than all scratch of a piece.
inline constexpr std::int64_t kSizes[] = {0, 1, 3, 257, 100000};

/// What rank `rank` contributes to a test: numbers of which sums depend on the order.
inline std::vector<float> numbers_of(int rank, std::int64_t count) { return normal(count, 1000 + rank, 3.0f); }

template <class T>
View1D<T> zeros(std::int64_t count) {
  return View1D<T>("test::out", count);
}

template <class T>
View2D<T> zeros(std::int64_t rows, std::int64_t columns) {
  return View2D<T>("test::out", rows, columns);
}

}  // namespace m2::test
