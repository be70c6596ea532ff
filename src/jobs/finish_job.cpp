// SPDX-License-Identifier: Apache-2.0
#include "jobs/finish_job.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdio>

#include "core/stop_signal.hpp"
#include "parallel/mesh.hpp"
#include "parallel/placement_file.hpp"

namespace m2 {

void run_to_end(Communicator& world, PromptQueue& queue, ResultLines& lines, const std::function<void()>& work) {
  std::array<std::int64_t, 1> stopped_by{0};
  try {
    work();
  } catch (const Interrupted& stop) {
    stopped_by[0] = stop.signal();
    queue.close();
  }
  lines.finish();
  const int signal = int(world.max_values(stopped_by)[0]);
  if (signal != 0) throw Interrupted(signal);
}

void report_parallel(const Deck& deck, const JobModel& job, Communicator& world) {
  const std::string traffic = traffic_text(job.expert_parallel(), world);
  if (world.rank() == 0 && !traffic.empty()) fmt::print(stderr, "m2: {}\n", traffic);
  if (!deck.output.expert_load) return;
  ExpertLoad load = job.model().model.expert_load(job.model().exec());
  for (std::vector<std::int64_t>& layer : load) layer = world.sum_values(layer);
  if (world.rank() == 0) write_expert_load(*deck.output.expert_load, load);
}

}  // namespace m2
