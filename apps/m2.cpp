// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <Kokkos_Core.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "config/deck.hpp"
#include "core/error.hpp"
#include "core/print.hpp"
#include "core/stop_signal.hpp"
#include "jobs/run_job.hpp"
#include "parallel/placement_file.hpp"
#include "run_on_ranks.hpp"

namespace m2 {
namespace {

constexpr int kRequeue = 75;  // sysexits' EX_TEMPFAIL, which the Slurm scripts of inputs/slurm turn into a requeue

struct Arguments {
  std::string deck;
  std::vector<std::string> overrides;
  bool check = false;
  std::string print_deck;
  std::string expert_load;  // of --make-placement
  int num_ranks = 0, num_replicas = 0;
  bool resumable = true;  // the job of the deck
};

constexpr const char* kDescription =
    "Runs a MiniMax-M2 model as a batch job, as a deck says: a YAML file that names the job\n"
    "(generate, score or bench), the checkpoint, the input and the output. Keys of the deck can\n"
    "be changed on the command line.\n";

constexpr const char* kFooter =
    "Examples:\n"
    "  m2 --print-deck generate > my.yaml        a complete commented deck to start from\n"
    "  m2 my.yaml --check                        is it right, and does it fit into the memory?\n"
    "  m2 my.yaml                                run it\n"
    "  mpirun -n 4 m2 my.yaml                    the same, with the experts split over 4 ranks\n"
    "  m2 my.yaml sampling.seed=7 output.file=seed7.jsonl\n"
    "  m2 my.yaml output.resume=true             go on after an interruption\n"
    "  m2 inputs/bench/bench.yaml                how fast is it, and how fast could it be?\n"
    "  m2 --make-placement load.json --ranks 8 > placement.json\n"
    "\n"
    "Threads: OMP_NUM_THREADS; all cores if it is not set. Ranks: mpirun or srun --mpi=pmix.\n"
    "Progress goes to standard error, results to output.file or standard output.\n"
    "Exit codes: 0 done, 1 failed, 2 bad deck or usage, 75 stopped by SIGUSR1: run it again\n"
    "with output.resume=true, 128 + signal when stopped by another signal.";

std::vector<std::string> job_names() { return {kEnumNames<Job>.begin(), kEnumNames<Job>.end()}; }

// Returns an exit code for what ends here: --help, --version and bad arguments.
std::optional<int> parse(int argc, char** argv, bool speaks, Arguments& arguments) {
  CLI::App app(kDescription, "m2");
  app.footer(kFooter);
  app.set_version_flag("--version", "m2 " M2_VERSION, "Print the version and stop");
  app.add_option("DECK", arguments.deck, "The deck, a YAML file")->type_name("");
  app.add_option("KEYS", arguments.overrides, "section.key=value ...: replace keys of the deck")->type_name("");
  app.add_flag("--check", arguments.check, "Check deck, input and memory, print the plan and stop");
  app.add_option("--print-deck", arguments.print_deck, "Print a complete deck for the job and stop")
      ->type_name("JOB")
      ->check(CLI::IsMember(job_names()));
  CLI::Option* placement = app.add_option("--make-placement", arguments.expert_load,
                                          "Print a placement of experts for the loads of output.expert_load and stop");
  placement->type_name("FILE");
  CLI::Option* ranks = app.add_option("--ranks", arguments.num_ranks, "Of --make-placement: ranks that share experts");
  ranks->type_name("N")->needs(placement)->check(CLI::Range(1, 1 << 16));
  placement->needs(ranks);
  app.add_option("--replicas", arguments.num_replicas, "Of --make-placement: second copies of busy experts, per layer")
      ->type_name("N")
      ->needs(placement)
      ->check(CLI::Range(0, 1 << 20));
  try {
    app.parse(argc, argv);
    const int num_tasks = int(!arguments.deck.empty()) + int(!arguments.print_deck.empty()) + int(placement->count());
    if (num_tasks != 1) throw CLI::RequiredError("DECK, --print-deck or --make-placement");
  } catch (const CLI::Success& success) {
    return speaks ? app.exit(success) : kDone;
  } catch (const CLI::ParseError& error) {
    if (speaks) fmt::print(stderr, "m2: error: {}; see m2 --help\n", error.what());
    return kBadUsage;
  }
  return std::nullopt;
}

void run(Arguments& arguments, Session& session) {
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
  arguments.resumable = deck.job != Job::bench;
  // Unbound threads: several jobs on one machine must not end up on the same cores. Kokkos' warnings are about that.
  ::setenv("OMP_PROC_BIND", "false", /*overwrite=*/0);
  const Kokkos::ScopeGuard kokkos(Kokkos::InitializationSettings().set_disable_warnings(true));
  run_job(deck, session.world(), arguments.check);
}

int run_program(int argc, char** argv, Session& session) {
  Arguments arguments;
  if (const auto code = parse(argc, argv, session.rank() == 0, arguments)) return *code;
  try {
    run(arguments, session);
    return kDone;
  } catch (const Interrupted& stop) {  // on all ranks
    if (session.rank() == 0) {
      fmt::print(stderr, "m2: {}; {}\n", stop.what(),
                 arguments.resumable ? "lines in output.file are whole, and output.resume=true goes on behind them"
                                     : "nothing was written");
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
