// SPDX-License-Identifier: Apache-2.0
#include "core/error.hpp"
#include "infer/jobs.hpp"

namespace m2 {

void run_job(const Deck& deck, bool check_only) {
  switch (deck.job) {
    case Job::generate:
      return run_generate(deck, check_only);
    case Job::score:
      return run_score(deck, check_only);
  }
  raise("unknown job {}", int(deck.job));
}

}  // namespace m2
