// SPDX-License-Identifier: Apache-2.0
#include "jobs/run_job.hpp"

#include "core/error.hpp"
#include "io/path_roles.hpp"
#include "jobs/bench_job.hpp"
#include "jobs/generate_job.hpp"
#include "jobs/same_on_ranks.hpp"
#include "jobs/score_job.hpp"
#include "jobs/train_job.hpp"

namespace m2 {

void run_job(const Deck& deck, Communicator& world, const JobRequest& request) {
  require_same_deck(deck, world);
  require_separate_paths(deck_paths(deck));  // on every rank: the same error of all is said once
  require_same_kernels(world);
  if (request.num_shown > 0 && deck.job != Job::train) {
    raise_usage("--show is for decks of job train, this deck's job is {}", name(deck.job));
  }
  switch (deck.job) {
    case Job::generate:
      return run_generate(deck, world, request.check_only);
    case Job::score:
      return run_score(deck, world, request.check_only);
    case Job::bench:
      return run_bench(deck, world, request.check_only);
    case Job::train:
      return run_train(deck, world, request);
  }
  raise("unknown job {}", int(deck.job));
}

}  // namespace m2
