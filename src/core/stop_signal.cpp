// SPDX-License-Identifier: Apache-2.0
#include "core/stop_signal.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <atomic>

namespace m2 {
namespace {

std::atomic<int> g_stop_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "the handler may use nothing else");

void remember(int signal) {
  int none = 0;
  g_stop_signal.compare_exchange_strong(none, signal);
}

const char* signal_name(int signal) {
  switch (signal) {
    case SIGINT:
      return "SIGINT (Ctrl-C)";
    case SIGTERM:
      return "SIGTERM";
    default:
      return "SIGUSR1";
  }
}

}  // namespace

Interrupted::Interrupted(int signal) : Error(fmt::format("stopped by {}", signal_name(signal))), signal_(signal) {}

void install_stop_handler() {
  struct sigaction action{};
  action.sa_handler = remember;
  action.sa_flags = SA_RESTART | int(SA_RESETHAND);
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) ::sigaction(signal, &action, nullptr);
  ::signal(SIGXFSZ, SIG_IGN);
}

bool stop_requested() { return g_stop_signal.load(std::memory_order_relaxed) != 0; }

int stop_signal() { return g_stop_signal.load(std::memory_order_relaxed); }

void throw_if_stop_requested() {
  if (stop_requested()) throw Interrupted(stop_signal());
}

}  // namespace m2
