// SPDX-License-Identifier: Apache-2.0
// Loads a checkpoint as a job of expert parallelism does, on the ranks it is started on, and says how long that took
// until all were ready; for load_bench.sh. "touch BYTES" writes to so much memory instead, and ends.
#include <fmt/format.h>

#include <Kokkos_Core.hpp>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <map>
#include <optional>
#include <string>

#include "checkpoint/formats/open_checkpoint.hpp"
#include "checkpoint/load/pretrained.hpp"
#include "comm/startup/session.hpp"
#include "core/error.hpp"
#include "core/memory.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"

namespace m2 {
namespace {

struct Arguments {
  std::string path;
  std::optional<bool> shared_reads;
  std::size_t read_bytes = LoadOptions().read_bytes;
  std::size_t touched_bytes = 0;
};

Arguments parse(int argc, char** argv) {
  if (argc < 2 || argc > 4) raise_usage("usage: {} CHECKPOINT [auto|on|off [READ_BYTES]] | touch BYTES", argv[0]);
  Arguments arguments;
  arguments.path = argv[1];
  if (argc == 3 && arguments.path == "touch") {
    arguments.touched_bytes = std::strtoull(argv[2], nullptr, 10);
    return arguments;
  }
  if (argc > 2) {
    const std::map<std::string, std::optional<bool>> choices{{"auto", {}}, {"on", true}, {"off", false}};
    arguments.shared_reads = choices.at(argv[2]);
  }
  if (argc > 3) arguments.read_bytes = std::strtoull(argv[3], nullptr, 10);
  return arguments;
}

// What this process leaves behind is memory that the next one gets without asking a virtual machine's host for it.
void touch(std::size_t bytes) {
  const Kokkos::View<std::byte*, HostSpace> memory(Kokkos::view_alloc(Kokkos::WithoutInitializing, "m2::touched"),
                                                   bytes);
  advise_large_pages(memory.data(), bytes);
  Kokkos::deep_copy(memory, std::byte{1});
}

std::int64_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  std::int64_t kib = 0;
  while (status >> word && word != "VmHWM:") {
  }
  status >> kib;
  return kib * 1024;
}

// This rank's even share of the experts.
void hold_own_experts(std::vector<Parameter>& parameters, int num_experts, const Communicator& world) {
  for (Parameter& parameter : parameters) {
    if (!parameter.schema.is_expert_stack()) continue;
    parameter.experts.clear();
    const int begin = num_experts * world.rank() / world.size(), end = num_experts * (world.rank() + 1) / world.size();
    for (int expert = begin; expert < end; ++expert) parameter.experts.push_back(expert);
  }
}

void run(Communicator& world, const Arguments& arguments) {
  world.barrier();
  const auto begin = std::chrono::steady_clock::now();
  const auto source = open_checkpoint(arguments.path, &world);
  MiniMaxM2ForCausalLM model(source->config(), ModelOptions{});
  std::vector<Parameter> parameters = model.parameters();
  hold_own_experts(parameters, source->config().num_local_experts, world);
  const LoadResult result =
      load_parameters(*source, parameters, model.exec(), model.dtype(),
                      {.world = &world, .shared_reads = arguments.shared_reads, .read_bytes = arguments.read_bytes});
  world.barrier();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::int64_t own_bytes = 0;
  for (const Parameter& parameter : parameters) own_bytes += parameter.storage_bytes(parameter.dtype());
  const std::int64_t above_bytes = world.max_values(std::vector{peak_resident_bytes() - own_bytes})[0];
  if (world.rank() != 0) return;
  fmt::print("{:.3f} {:.3f} {:.3f}\n", seconds, double(result.bytes) / 1e9, double(above_bytes) / 1e9);
}

}  // namespace
}  // namespace m2

int main(int argc, char** argv) {
  m2::Session session;
  try {
    const m2::Arguments arguments = m2::parse(argc, argv);
    const Kokkos::ScopeGuard kokkos(Kokkos::InitializationSettings().set_disable_warnings(true));
    if (arguments.touched_bytes > 0) {
      m2::touch(arguments.touched_bytes);
    } else {
      m2::run(session.world(), arguments);
    }
    return 0;
  } catch (const std::exception& error) {
    session.fail(1, fmt::format("load_bench: error: {}", error.what()));
  }
}
