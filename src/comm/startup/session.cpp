// SPDX-License-Identifier: Apache-2.0
#include "comm/startup/session.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>

#include "comm/mpi/mpi_communicator.hpp"
#include "comm/one_rank.hpp"
#include "comm/startup/first_failure.hpp"
#include "comm/startup/launcher.hpp"

#ifdef M2_HAS_NCCL
#include "comm/nccl/nccl_communicator.hpp"
#endif

namespace m2 {
namespace {

constexpr int kLoserSeconds = 5;  // until the first rank's MPI_Abort must have ended this one
constexpr int kAbortSeconds = 4;  // that MPI_Abort may take

std::string host_name() {
  char name[256] = {};
  ::gethostname(name, sizeof(name) - 1);
  return name;
}

std::atomic<int> g_exit_code{1};  // for the handler of the last resort, when MPI_Abort does not come back

void print(const std::string& words) {
  std::fwrite(words.data(), 1, words.size(), stderr);
  std::fflush(stderr);
}

// MPI libraries print paragraphs of their own when a program aborts.
void silence_stderr() {
  const int null = ::open("/dev/null", O_WRONLY);
  if (null >= 0) ::dup2(null, STDERR_FILENO);
}

}  // namespace

struct Session::State {
  State();
  ~State();
  void start_mpi();
  std::unique_ptr<Communicator> make_world() const;

  int rank = 0, size = 1;
  bool owns_mpi = false;
  int num_exceptions = std::uncaught_exceptions();
  std::optional<FirstFailure> first_failure;
  std::unique_ptr<Communicator> world;
};

Session::State::State() {
  const Launch launch = read_launch();
  if (launch.can_start_mpi) start_mpi();
  require_found(launch, owns_mpi ? size : 0);
  if (size > 1) first_failure.emplace(MPI_COMM_WORLD);
}

void Session::State::start_mpi() {
  // When a rank is killed, ranks on other hosts see a broken connection and Open MPI aborts there. A second later the
  // launcher knows which rank it was, and says so instead of blaming those.
  ::setenv("OMPI_MCA_opal_abort_delay", "1", /*overwrite=*/0);
  int provided = MPI_THREAD_SINGLE;
  check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  owns_mpi = true;
  check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size), "MPI_Comm_size");
  M2_REQUIRE(provided >= MPI_THREAD_FUNNELED,
             "MPI_Init_thread: this MPI supports no threads besides MPI (level {}); one with MPI_THREAD_FUNNELED is "
             "needed",
             provided);
}

Session::State::~State() {
  // After an exception the others would wait in MPI_Finalize for nobody.
  const bool together = std::uncaught_exceptions() == num_exceptions;
  world.reset();
  if (together) first_failure.reset();
  if (owns_mpi && together) MPI_Finalize();
}

std::unique_ptr<Communicator> Session::State::make_world() const {
  if (size == 1) return one_rank();
  auto mpi = std::make_unique<MpiCommunicator>(MpiComm::duplicate(MPI_COMM_WORLD));
#ifdef M2_HAS_NCCL
  if (ranks_have_own_devices(*mpi)) return std::make_unique<NcclCommunicator>(std::move(mpi));
#endif
  return mpi;
}

Session::Session() : state_(std::make_unique<State>()) {}
Session::~Session() = default;
int Session::rank() const { return state_->rank; }
int Session::size() const { return state_->size; }

Communicator& Session::world() {
  if (!state_->world) state_->world = state_->make_world();
  return *state_->world;
}

std::string Session::who() const {
  return size() == 1 ? "" : fmt::format("rank {} of {} on {}: ", rank(), size(), host_name());
}

void Session::fail(int exit_code, const std::string& message) {
  const std::string words = who() + message + "\n";
  std::fflush(stdout);
  g_exit_code = exit_code;
  if (size() == 1) {
    print(words);
    if (state_->owns_mpi && mpi_is_running()) MPI_Finalize();
    std::exit(exit_code);
  }
  auto& first_failure = state_->first_failure;
  std::signal(SIGALRM, [](int) { ::_exit(g_exit_code); });
  if (!first_failure || first_failure->claim()) {
    print(words);
    silence_stderr();
    ::alarm(kAbortSeconds);
    MPI_Abort(MPI_COMM_WORLD, exit_code);
  } else {
    silence_stderr();
    ::alarm(kLoserSeconds + 1);
    first_failure->answer_others(std::chrono::seconds(kLoserSeconds));
  }
  ::_exit(exit_code);
}

}  // namespace m2
