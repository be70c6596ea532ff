// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <Kokkos_Core.hpp>
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "config/deck.hpp"
#include "core/error.hpp"
#include "core/stop_signal.hpp"
#include "infer/jobs.hpp"
#include "infer/output_lines.hpp"

namespace {

enum ExitCode { kDone = 0, kFailed = 1, kBadUsage = 2, kSignalBase = 128 };

struct Arguments {
  std::string deck;
  std::vector<std::string> overrides;
  bool check = false;
  std::string print_deck;
};

constexpr const char* kDescription =
    "Runs a MiniMax-M2 model as a batch job, as a deck says: a YAML file that names the job\n"
    "(generate or score), the checkpoint, the input and the output. Keys of the deck can be\n"
    "changed on the command line.\n";

constexpr const char* kFooter =
    "Examples:\n"
    "  m2 --print-deck generate > my.yaml        a complete commented deck to start from\n"
    "  m2 my.yaml --check                        is it right, and does it fit into the memory?\n"
    "  m2 my.yaml                                run it\n"
    "  m2 my.yaml sampling.seed=7 output.file=seed7.jsonl\n"
    "  m2 my.yaml output.resume=true             go on after an interruption\n"
    "\n"
    "Threads: OMP_NUM_THREADS; all cores if it is not set. Progress goes to standard error,\n"
    "results to output.file or standard output.\n"
    "Exit codes: 0 done, 1 failed, 2 bad deck or usage, 128 + signal when stopped.";

// What the launcher says, by the names of Open MPI, of PMI (MPICH, Intel MPI) and of Slurm.
struct Launcher {
  const char *size, *rank;
};
constexpr std::array<Launcher, 3> kLaunchers{{{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
                                              {"PMI_SIZE", "PMI_RANK"},
                                              {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"}}};

int number_of(const char* variable) {
  const char* value = std::getenv(variable);
  return value ? std::atoi(value) : 0;
}

bool is_first_rank() {
  return std::ranges::all_of(kLaunchers, [](const Launcher& launcher) { return number_of(launcher.rank) == 0; });
}

// Ranks that know nothing of each other would all write the same file.
void require_one_rank() {
  for (const Launcher& launcher : kLaunchers) {
    const int num_ranks = number_of(launcher.size);
    if (num_ranks <= 1) continue;
    throw m2::UsageError(
        fmt::format("started on {} ranks ({}), and this version runs on one: start it with one rank and all cores",
                    num_ranks, launcher.size));
  }
}

// Returns an exit code for what ends here: --help, --version and bad arguments.
std::optional<int> parse(int argc, char** argv, Arguments& arguments) {
  CLI::App app(kDescription, "m2");
  app.footer(kFooter);
  app.set_version_flag("--version", "m2 " M2_VERSION, "Print the version and stop");
  app.add_option("DECK", arguments.deck, "The deck, a YAML file")->type_name("");
  app.add_option("KEYS", arguments.overrides, "section.key=value ...: replace keys of the deck")->type_name("");
  app.add_flag("--check", arguments.check, "Check deck, input and memory, print the plan and stop");
  app.add_option("--print-deck", arguments.print_deck, "Print a complete deck for the job and stop")
      ->type_name("JOB")
      ->check(CLI::IsMember({"generate", "score"}));
  try {
    app.parse(argc, argv);
    if (arguments.deck.empty() == arguments.print_deck.empty()) throw CLI::RequiredError("DECK or --print-deck");
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "m2: error: {}; see m2 --help\n", error.what());
    return kBadUsage;
  }
  return std::nullopt;
}

void run(const Arguments& arguments) {
  require_one_rank();
  const m2::Deck deck = m2::load_deck(arguments.deck, arguments.overrides);
  // Unbound threads: several jobs on one machine must not end up on the same cores. Kokkos warns unless this is set.
  ::setenv("OMP_PROC_BIND", "false", /*overwrite=*/0);
  const Kokkos::ScopeGuard kokkos;
  m2::run_job(deck, arguments.check);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file beyond its size limit is then an error of write(), and told as one
  m2::install_stop_handler();
  Arguments arguments;
  if (const auto code = parse(argc, argv, arguments)) return *code;
  try {
    if (!arguments.print_deck.empty()) {
      m2::print_now(m2::print_deck(arguments.print_deck == "score" ? m2::Job::score : m2::Job::generate));
      return kDone;
    }
    run(arguments);
    return kDone;
  } catch (const m2::Interrupted& error) {
    fmt::print(stderr, "m2: {}; lines in output.file are whole, and output.resume=true goes on behind them\n",
               error.what());
    return kSignalBase + error.signal();
  } catch (const m2::UsageError& error) {
    if (is_first_rank()) fmt::print(stderr, "m2: error: {}\n", error.what());
    return kBadUsage;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "m2: error: out of memory; see m2 DECK --check, or set memory.limit_gib\n");
  } catch (const std::exception& error) {
    fmt::print(stderr, "m2: error: {}\n", error.what());
  }
  return kFailed;
}
