// SPDX-License-Identifier: Apache-2.0
#include "comm/first_failure.hpp"

#include <atomic>
#include <chrono>
#include <thread>

namespace m2 {
namespace {

MPI_Comm ranks_on_this_host(MPI_Comm comm) {
  MPI_Comm host = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host), "MPI_Comm_split_type");
  return host;
}

struct Place {
  int rank, size;
};

Place place_in(MPI_Comm comm) {
  Place place{};
  check_mpi(MPI_Comm_rank(comm, &place.rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(comm, &place.size), "MPI_Comm_size");
  return place;
}

MPI_Aint counter_bytes(const Place& place) { return place.rank == 0 ? sizeof(std::int64_t) : 0; }

}  // namespace

FirstFailure::FirstFailure(MPI_Comm comm, bool ask_rank_0)
    : comm_(MpiComm::duplicate(comm)), host_(ranks_on_this_host(comm)) {
  const Place all = place_in(comm_.get()), here = place_in(host_.get());
  void* own = nullptr;
  check_mpi(MPI_Win_allocate_shared(counter_bytes(here), sizeof(std::int64_t), MPI_INFO_NULL, host_.get(), &own,
                                    &host_window_),
            "MPI_Win_allocate_shared");
  MPI_Aint bytes = 0;
  int unit = 0;
  check_mpi(MPI_Win_shared_query(host_window_, 0, &bytes, &unit, &host_counter_), "MPI_Win_shared_query");
  if (here.rank == 0) *host_counter_ = 0;
  if (here.size < all.size || ask_rank_0) {
    std::int64_t* counter = nullptr;
    check_mpi(
        MPI_Win_allocate(counter_bytes(all), sizeof(std::int64_t), MPI_INFO_NULL, comm_.get(), &counter, &window_),
        "MPI_Win_allocate");
    check_mpi(MPI_Win_set_errhandler(window_, MPI_ERRORS_RETURN), "MPI_Win_set_errhandler");
    if (all.rank == 0) *counter = 0;
    check_mpi(MPI_Win_lock_all(MPI_MODE_NOCHECK, window_), "MPI_Win_lock_all");
    check_mpi(MPI_Win_sync(window_), "MPI_Win_sync");
  }
  check_mpi(MPI_Barrier(comm_.get()), "MPI_Barrier");
}

FirstFailure::~FirstFailure() {
  if (!comm_.can_free()) return;
  if (window_ != MPI_WIN_NULL) {
    MPI_Win_unlock_all(window_);
    MPI_Win_free(&window_);
  }
  MPI_Win_free(&host_window_);
}

bool FirstFailure::claim() noexcept {
  if (std::atomic_ref(*host_counter_).fetch_add(1) != 0) return false;
  return window_ == MPI_WIN_NULL || claim_on_rank_0();
}

bool FirstFailure::claim_on_rank_0() noexcept {
  static std::int64_t one = 1, before = 0;  // MPI may write after the second is over
  MPI_Request request = MPI_REQUEST_NULL;
  if (MPI_Rget_accumulate(&one, 1, MPI_INT64_T, &before, 1, MPI_INT64_T, 0, 0, 1, MPI_INT64_T, MPI_SUM, window_,
                          &request) != MPI_SUCCESS) {
    return true;
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  for (int done = 0; std::chrono::steady_clock::now() < end;
       std::this_thread::sleep_for(std::chrono::milliseconds(1))) {
    if (MPI_Test(&request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) return true;
    if (done != 0) return before == 0;
  }
  return true;
}

}  // namespace m2
