// SPDX-License-Identifier: Apache-2.0
#include "comm/startup/first_failure.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <system_error>
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

// Hosts are numbered by the lowest of their ranks.
int host_number(MPI_Comm comm, MPI_Comm host) {
  int is_lowest = place_in(host).rank == 0 ? 1 : 0, number = 0;
  check_mpi(MPI_Exscan(&is_lowest, &number, 1, MPI_INT, MPI_SUM, comm), "MPI_Exscan");
  if (place_in(comm).rank == 0) number = 0;  // MPI leaves it undefined
  check_mpi(MPI_Bcast(&number, 1, MPI_INT, 0, host), "MPI_Bcast");
  return number;
}

enum class Answer { none, this_is_first, another_is_first };

MPI_Aint counter_bytes(const Place& place) { return place.rank == 0 ? sizeof(std::int64_t) : 0; }

}  // namespace

FirstFailure::FirstFailure(MPI_Comm comm, bool ask_rank_0)
    : comm_(MpiComm::duplicate(comm)), host_(ranks_on_this_host(comm)) {
  const Place all = place_in(comm_.get()), here = place_in(host_.get());
  patience_ = std::chrono::milliseconds(1000 + std::min(750 * host_number(comm_.get(), host_.get()), 4000));
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

// A thread of its own asks, because this call of MPI may not return while rank 0 computes. That the thread is not the
// one MPI was started on harms nothing: the other one calls only MPI_Abort from now on.
bool FirstFailure::claim_on_rank_0() noexcept {
  static std::atomic<Answer> answer;  // the thread may outlive the call
  answer = Answer::none;
  const auto ask = [window = window_] {
    std::int64_t one = 1, before = 0;
    const bool asked = MPI_Fetch_and_op(&one, &before, MPI_INT64_T, 0, 0, MPI_SUM, window) == MPI_SUCCESS &&
                       MPI_Win_flush(0, window) == MPI_SUCCESS;
    answer = asked && before > 0 ? Answer::another_is_first : Answer::this_is_first;
  };
  const auto end = std::chrono::steady_clock::now() + patience_;
  try {
    std::thread(ask).detach();
  } catch (const std::system_error&) {  // no thread left
    return true;
  }
  while (answer == Answer::none && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return answer != Answer::another_is_first;
}

void FirstFailure::answer_others(std::chrono::milliseconds time) noexcept {
  for (const auto end = std::chrono::steady_clock::now() + time; std::chrono::steady_clock::now() < end;) {
    int found = 0;
    MPI_Iprobe(MPI_ANY_SOURCE, 0, comm_.get(), &found, MPI_STATUS_IGNORE);  // any call of MPI does
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace m2
