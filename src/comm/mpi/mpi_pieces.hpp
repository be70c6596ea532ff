// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "comm/mpi/mpi_call.hpp"

namespace m2 {

/// The most bytes of one call of MPI, whose counts are of type int.
inline constexpr std::int64_t kMpiPieceBytes = std::int64_t(1) << 30;

/// Messages of any length between ranks, in pieces. Both sides name the same lengths, in the same order for a pair of
/// ranks. Empty messages are not sent.
class MpiPieces {
 public:
  MpiPieces(MPI_Comm comm, std::int64_t piece_bytes) : comm_(comm), piece_bytes_(piece_bytes) {}
  /// Waits, unless an exception is on its way: then the job ends anyhow.
  ~MpiPieces();
  MpiPieces(const MpiPieces&) = delete;
  MpiPieces& operator=(const MpiPieces&) = delete;

  void send(const std::byte* data, std::int64_t bytes, int to);
  void receive(std::byte* data, std::int64_t bytes, int from);
  /// Throws Error when a message had another length than expected.
  void wait();

 private:
  struct Expected {
    int from;  // -1 for what is sent
    int bytes;
  };

  MPI_Comm comm_;
  std::int64_t piece_bytes_;
  std::vector<MPI_Request> requests_;
  std::vector<Expected> expected_;
};

/// Calls f(offset, length) for each piece of `total`, in order.
template <class F>
void for_each_piece(std::int64_t total, std::int64_t piece, const F& f) {
  for (std::int64_t begin = 0; begin < total; begin += piece)
    f(begin, int(total - begin < piece ? total - begin : piece));
}

}  // namespace m2
