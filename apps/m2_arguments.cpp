// SPDX-License-Identifier: Apache-2.0
#include "m2_arguments.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "config/deck.hpp"
#include "run_on_ranks.hpp"

namespace m2 {
namespace {

constexpr const char* kDescription =
    "Runs a MiniMax-M2 model as a batch job. A deck, which is a YAML file, names the job (generate,\n"
    "score, bench or train), the checkpoint, the input and the output. The command line can replace\n"
    "keys of the deck.\n";

constexpr const char* kFooter =
    "Examples:\n"
    "  m2 --print-deck generate > my.yaml        a complete commented deck to start from\n"
    "  m2 my.yaml --check                        check keys, input and memory, run nothing\n"
    "  m2 my.yaml                                run it\n"
    "  mpirun -n 4 m2 my.yaml                    the same, with the experts split over 4 ranks\n"
    "  m2 my.yaml sampling.seed=7 output.file=seed7.jsonl\n"
    "  m2 my.yaml output.resume=true             continue after an interruption\n"
    "  m2 --print-deck train > train.yaml        the same for training; run again, it continues\n"
    "  m2 train.yaml --show 3                    what it will learn from, loss marked with [[ ]]\n"
    "  m2 inputs/bench/bench.yaml                how fast is it, and how fast could it be?\n"
    "  m2 --make-placement load.json --ranks 8 > placement.json\n"
    "\n"
    "Threads: OMP_NUM_THREADS; all cores if it is not set. Ranks: mpirun or srun --mpi=pmix.\n"
    "Progress goes to standard error, results to output.file or standard output.\n"
    "Exit codes: 0 done, 1 failed, 2 bad deck or usage, 75 stopped by SIGUSR1: run it again\n"
    "with output.resume=true (a train job: as it is), 128 + signal when stopped by another signal.";

std::vector<std::string> job_names() { return {kEnumNames<Job>.begin(), kEnumNames<Job>.end()}; }

}  // namespace

std::optional<int> parse_arguments(int argc, char** argv, bool speaks, M2Arguments& arguments) {
  CLI::App app(kDescription, "m2");
  app.footer(kFooter);
  app.set_version_flag("--version", "m2 " M2_VERSION, "Print the version and stop");
  app.add_option("DECK", arguments.deck, "The deck, a YAML file")->type_name("");
  app.add_option("KEYS", arguments.overrides, "section.key=value ...: replace keys of the deck")->type_name("");
  app.add_flag("--check", arguments.check, "Check deck, input and memory, print the plan and stop");
  app.add_option("--show", arguments.num_shown,
                 "Of a train deck: print the first N documents, what carries loss marked")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 20));
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

}  // namespace m2
