// SPDX-License-Identifier: Apache-2.0
// A program whose ranks fail in the way its argument says; failure_test.cpp looks at what is left.
#include <signal.h>

#include <chrono>
#include <new>
#include <string>
#include <thread>

#include "comm/startup/session.hpp"
#include "core/error.hpp"

namespace {

void compute() {
  std::this_thread::sleep_for(std::chrono::seconds(60));  // no call of MPI
}

void run(m2::Session& session, const std::string& what) {
  m2::Communicator& world = session.world();
  const bool is_culprit = session.rank() == 1;
  world.barrier();
  if (what == "others-wait" && is_culprit) m2::raise("the disk is full");
  if (what == "others-compute") {
    if (is_culprit) m2::raise("the disk is full");
    compute();
  }
  if (what == "others-hang") {
    if (!is_culprit) ::raise(SIGSTOP);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    m2::raise("the disk is full");
  }
  if (what == "all") m2::raise("the deck is wrong");
  if (what == "all-but-first") {
    if (session.rank() == 0) compute();
    m2::raise("the disk is full");
  }
  if (what == "killed" && is_culprit) ::raise(SIGKILL);
  if (what == "usage") throw m2::UsageError("the deck is wrong");
  world.barrier();
}

}  // namespace

int main(int, char** argv) {
  m2::Session session;
  try {
    const Kokkos::ScopeGuard kokkos;
    run(session, argv[1]);
    return 0;
  } catch (const m2::UsageError& error) {
    session.fail(2, error.what());
  } catch (const std::exception& error) {
    session.fail(3, error.what());
  }
}
