// SPDX-License-Identifier: Apache-2.0
#include "comm/forms.hpp"

#include "comm/mpi_communicator.hpp"
#include "comm/one_rank.hpp"

namespace m2::test {

void Forms::SetUp() {
  const bool alone = session().size() == 1;  // perhaps without MPI
  if (GetParam() == Form::one_rank) owned_ = one_rank();
  if (alone || GetParam() == Form::one_rank || GetParam() == Form::world) return;
  const std::int64_t piece_bytes = GetParam() == Form::mpi ? kMpiPiece_bytes : 50000;
  owned_ = std::make_unique<MpiCommunicator>(MpiComm::duplicate(MPI_COMM_WORLD), piece_bytes);
}

std::string name_of(const ::testing::TestParamInfo<Form>& info) {
  switch (info.param) {
    case Form::one_rank:
      return "OneRank";
    case Form::mpi:
      return "Mpi";
    case Form::mpi_in_pieces:
      return "MpiInPieces";
    default:
      return "World";
  }
}

}  // namespace m2::test
