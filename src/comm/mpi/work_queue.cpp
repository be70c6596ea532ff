// SPDX-License-Identifier: Apache-2.0
#include "comm/mpi/work_queue.hpp"

#include <algorithm>
#include <optional>

#include "comm/mpi/mpi_call.hpp"

namespace m2 {

// A counter: on rank 0, in a window that the others reach without its help. Closing adds `count` to it.
struct WorkQueue::State {
  std::int64_t count = 0;
  std::int64_t own_counter = 0;  // of one rank alone
  std::optional<MpiComm> comm;
  MPI_Win window = MPI_WIN_NULL;

  std::int64_t fetch_add(std::int64_t amount);
  void make_window();
  void free_window();
};

std::int64_t WorkQueue::State::fetch_add(std::int64_t amount) {
  std::int64_t before = own_counter;
  if (!comm) {
    own_counter += amount;
    return before;
  }
  check_mpi(MPI_Fetch_and_op(&amount, &before, MPI_INT64_T, 0, 0, MPI_SUM, window), "MPI_Fetch_and_op");
  check_mpi(MPI_Win_flush(0, window), "MPI_Win_flush");
  return before;
}

void WorkQueue::State::make_window() {
  int rank = 0;
  check_mpi(MPI_Comm_rank(comm->get(), &rank), "MPI_Comm_rank");
  std::int64_t* counter = nullptr;
  check_mpi(MPI_Win_allocate(rank == 0 ? sizeof(std::int64_t) : 0, sizeof(std::int64_t), MPI_INFO_NULL, comm->get(),
                             &counter, &window),
            "MPI_Win_allocate");
  check_mpi(MPI_Win_set_errhandler(window, MPI_ERRORS_RETURN), "MPI_Win_set_errhandler");
  if (rank == 0) *counter = 0;
  check_mpi(MPI_Win_lock_all(MPI_MODE_NOCHECK, window), "MPI_Win_lock_all");
  check_mpi(MPI_Win_sync(window), "MPI_Win_sync");
  check_mpi(MPI_Barrier(comm->get()), "MPI_Barrier");
}

void WorkQueue::State::free_window() {
  if (window == MPI_WIN_NULL || !comm->can_free()) return;
  MPI_Win_unlock_all(window);
  MPI_Win_free(&window);
}

WorkQueue::WorkQueue(Communicator& world, std::int64_t count) : state_(std::make_unique<State>()) {
  state_->count = count;
  if (world.size() == 1) return;
  state_->comm.emplace(MpiComm::duplicate(mpi_of(world)));
  state_->make_window();
}

WorkQueue::~WorkQueue() { state_->free_window(); }

std::int64_t WorkQueue::next() { return std::min(state_->fetch_add(1), state_->count); }

void WorkQueue::close() { state_->fetch_add(state_->count); }

}  // namespace m2
