// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <Kokkos_Core.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>

#include "config/deck.hpp"
#include "core/error.hpp"
#include "core/print.hpp"
#include "core/stop_signal.hpp"
#include "jobs/run_job.hpp"
#include "m2_arguments.hpp"
#include "parallel/placement_file.hpp"
#include "run_on_ranks.hpp"

namespace m2 {
namespace {

constexpr int kRequeue = 75;  // sysexits' EX_TEMPFAIL, which the Slurm scripts of inputs/slurm turn into a requeue

// What is there after an interruption.
const char* what_remains(const Deck& deck) {
  if (deck.job == Job::bench) return "nothing was written";
  if (deck.job != Job::train) return "lines in output.file are whole, and output.resume=true continues after them";
  return deck.checkpoint.folder ? "the same command continues from the last checkpoint" : "nothing was saved";
}

void run(const M2Arguments& arguments, Session& session, std::string& remains) {
  const bool speaks = session.rank() == 0;
  if (!arguments.print_deck.empty()) {
    if (speaks) print_now(print_deck(parse_enum<Job>(arguments.print_deck)));
    return;
  }
  if (!arguments.expert_load.empty()) {
    if (speaks) print_placement(arguments.expert_load, arguments.num_ranks, arguments.num_replicas);
    return;
  }
  const Deck deck = load_deck(arguments.deck, arguments.overrides);
  remains = what_remains(deck);
  // Unbound threads: several jobs on one machine must not end up on the same cores. Kokkos' warnings are about that.
  ::setenv("OMP_PROC_BIND", "false", /*overwrite=*/0);
  const Kokkos::ScopeGuard kokkos(Kokkos::InitializationSettings().set_disable_warnings(true));
  run_job(deck, session.world(), {.check_only = arguments.check, .num_shown = arguments.num_shown});
}

int run_program(int argc, char** argv, Session& session) {
  M2Arguments arguments;
  if (const auto code = parse_arguments(argc, argv, session.rank() == 0, arguments)) return *code;
  std::string remains;
  try {
    run(arguments, session, remains);
    return kDone;
  } catch (const Interrupted& stop) {  // on all ranks
    if (session.rank() == 0) {
      fmt::print(stderr, "m2: {}; {}\n", stop.what(), remains);
    }
    return stop.signal() == SIGUSR1 ? kRequeue : kSignalBase + stop.signal();
  } catch (const std::bad_alloc&) {
    raise("out of memory; see m2 DECK --check, or set memory.limit_gib");
  }
}

}  // namespace
}  // namespace m2

int main(int argc, char** argv) {
  return m2::run_on_ranks("m2", [&](m2::Session& session) { return m2::run_program(argc, argv, session); });
}
