// SPDX-License-Identifier: Apache-2.0
#include "jobs/run_job.hpp"

#include "core/error.hpp"
#include "io/path_roles.hpp"
#include "jobs/bench_job.hpp"
#include "jobs/generate_job.hpp"
#include "jobs/same_on_ranks.hpp"
#include "jobs/score_job.hpp"

namespace m2 {

void run_job(const Deck& deck, Communicator& world, bool check_only) {
  require_same_deck(deck, world);
  require_separate_paths(deck_paths(deck));  // on every rank: the same error of all is said once
  require_same_kernels(world);
  switch (deck.job) {
    case Job::generate:
      return run_generate(deck, world, check_only);
    case Job::score:
      return run_score(deck, world, check_only);
    case Job::bench:
      return run_bench(deck, world, check_only);
  }
  raise("unknown job {}", int(deck.job));
}

}  // namespace m2
