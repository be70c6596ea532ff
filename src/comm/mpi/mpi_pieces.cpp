// SPDX-License-Identifier: Apache-2.0
#include "comm/mpi/mpi_pieces.hpp"

#include <exception>

#include "core/error.hpp"

namespace m2 {
namespace {
constexpr int kPieceTag = 1;
}

MpiPieces::~MpiPieces() {
  if (requests_.empty() || std::uncaught_exceptions() > 0) return;
  try {
    wait();
  } catch (const Error&) {  // nobody looks at the data
  }
}

void MpiPieces::send(const std::byte* data, std::int64_t bytes, int to) {
  for_each_piece(bytes, piece_bytes_, [&](std::int64_t offset, int length) {
    expected_.push_back({-1, length});
    check_mpi(MPI_Isend(data + offset, length, MPI_BYTE, to, kPieceTag, comm_, &requests_.emplace_back()), "MPI_Isend");
  });
}

void MpiPieces::receive(std::byte* data, std::int64_t bytes, int from) {
  for_each_piece(bytes, piece_bytes_, [&](std::int64_t offset, int length) {
    expected_.push_back({from, length});
    check_mpi(MPI_Irecv(data + offset, length, MPI_BYTE, from, kPieceTag, comm_, &requests_.emplace_back()),
              "MPI_Irecv");
  });
}

void MpiPieces::wait() {
  std::vector<MPI_Request> requests;
  requests.swap(requests_);
  std::vector<Expected> expected;
  expected.swap(expected_);
  std::vector<MPI_Status> statuses(requests.size());
  const int code = MPI_Waitall(int(requests.size()), requests.data(), statuses.data());
  if (code != MPI_ERR_IN_STATUS) check_mpi(code, "MPI_Waitall");
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const int from = expected[i].from;
    const bool failed = code == MPI_ERR_IN_STATUS && statuses[i].MPI_ERROR != MPI_ERR_PENDING;
    int error_class = MPI_SUCCESS;
    if (failed) MPI_Error_class(statuses[i].MPI_ERROR, &error_class);
    M2_REQUIRE(from < 0 || error_class != MPI_ERR_TRUNCATE,
               "rank {} sent more than the {} bytes expected from it: recv_rows must be what the others send", from,
               expected[i].bytes);
    if (failed) check_mpi(statuses[i].MPI_ERROR, from < 0 ? "MPI_Isend" : "MPI_Irecv");
    if (from < 0) continue;
    int bytes = 0;
    check_mpi(MPI_Get_count(&statuses[i], MPI_BYTE, &bytes), "MPI_Get_count");
    M2_REQUIRE(bytes == expected[i].bytes,
               "rank {} sent {} bytes, {} were expected: recv_rows must be what the others send", from, bytes,
               expected[i].bytes);
  }
}

}  // namespace m2
