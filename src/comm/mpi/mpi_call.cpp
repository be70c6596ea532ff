// SPDX-License-Identifier: Apache-2.0
#include "comm/mpi/mpi_call.hpp"

#include <fmt/format.h>

#include <exception>
#include <string>

#include "core/error.hpp"

namespace m2 {
namespace {

std::string mpi_error_text(int code) {
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) return fmt::format("error {}", code);
  return {text, std::size_t(length)};
}

}  // namespace

void check_mpi(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  int rank = 0, size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  raise("rank {} of {}: {}: {}", rank, size, call, mpi_error_text(code));
}

bool mpi_is_running() {
  int initialized = 0, finalized = 0;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  return initialized != 0 && finalized == 0;
}

MpiComm::MpiComm(MPI_Comm comm) : comm_(comm), num_exceptions_(std::uncaught_exceptions()) {
  check_mpi(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
}

MpiComm::~MpiComm() {
  if (can_free()) MPI_Comm_free(&comm_);
}

bool MpiComm::can_free() const { return std::uncaught_exceptions() == num_exceptions_ && mpi_is_running(); }

MPI_Comm MpiComm::duplicate(MPI_Comm comm) {
  MPI_Comm copy = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(comm, &copy), "MPI_Comm_dup");
  return copy;
}

MPI_Comm mpi_of(const Communicator& communicator) {
  const auto* form = dynamic_cast<const HasMpi*>(&communicator);
  return form == nullptr ? MPI_COMM_NULL : form->mpi();
}

}  // namespace m2
