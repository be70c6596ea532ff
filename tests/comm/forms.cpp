// SPDX-License-Identifier: Apache-2.0
#include "comm/forms.hpp"

#include "comm/mpi/mpi_communicator.hpp"
#include "comm/one_rank.hpp"

#ifdef M2_HAS_NCCL
#include "comm/nccl/nccl_communicator.hpp"
#endif

namespace m2::test {
namespace {

std::unique_ptr<MpiCommunicator> over_mpi(std::int64_t piece_bytes = kMpiPieceBytes) {
  return std::make_unique<MpiCommunicator>(MpiComm::duplicate(MPI_COMM_WORLD), piece_bytes);
}

// nullptr where NCCL refuses: ranks that share a GPU, or a process that nobody gave MPI to.
std::unique_ptr<Communicator> over_nccl() {
#ifdef M2_HAS_NCCL
  if (!mpi_is_running()) return nullptr;
  auto mpi = over_mpi();
  if (ranks_have_own_devices(*mpi)) return std::make_unique<NcclCommunicator>(std::move(mpi));
#endif
  return nullptr;
}

}  // namespace

std::vector<Form> forms() {
  std::vector<Form> all{Form::one_rank, Form::mpi, Form::mpi_in_pieces};
#ifdef M2_HAS_NCCL
  all.push_back(Form::nccl);
#endif
  all.push_back(Form::world);
  return all;
}

void Forms::SetUp() {
  if (GetParam() == Form::one_rank) owned_ = one_rank();
  if (GetParam() == Form::nccl) {
    owned_ = over_nccl();
    if (!owned_) GTEST_SKIP() << "NCCL needs a GPU for each rank, and mpirun";
  }
  const bool alone = session().size() == 1;  // perhaps without MPI
  if (alone || owned_ || GetParam() == Form::world) return;
  owned_ = over_mpi(GetParam() == Form::mpi ? kMpiPieceBytes : 50000);
}

std::string name_of(const ::testing::TestParamInfo<Form>& info) {
  switch (info.param) {
    case Form::one_rank:
      return "OneRank";
    case Form::mpi:
      return "Mpi";
    case Form::mpi_in_pieces:
      return "MpiInPieces";
    case Form::nccl:
      return "Nccl";
    default:
      return "World";
  }
}

}  // namespace m2::test
