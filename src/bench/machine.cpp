// SPDX-License-Identifier: Apache-2.0
#include "bench/machine.hpp"

#include <fmt/chrono.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>

#include "core/memory.hpp"

namespace m2 {
namespace {

// Larger than the caches of any processor, which grow with its cores; smaller where the memory is short.
constexpr std::int64_t kArrayBytes = std::int64_t(1) << 30;
constexpr std::int64_t kThreadBytes = std::int64_t(64) << 20;
constexpr std::int64_t kLeastArrayBytes = std::int64_t(1) << 20;

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown host";
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown processor";
}

std::string now_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", utc);
}

}  // namespace

BenchMachine describe_machine(const ExecSpace& exec, const Communicator& world) {
  return {.host = host_name(),
          .processor = processor_name(),
          .space = ExecSpace::name(),
          .num_ranks = world.size(),
          .num_threads = exec.concurrency(),
          .version = M2_VERSION,
          .date = now_utc()};
}

RankCeilings measure_ceilings_of_ranks(const ExecSpace& exec, Communicator& world) {
  const std::int64_t share_bytes = available_memory_bytes() / 8 / world.split_by_host()->size();
  const std::int64_t wanted_bytes = std::max(kArrayBytes, exec.concurrency() * kThreadBytes);
  world.barrier();
  RankCeilings ceilings;
  ceilings.first = measure_ceilings(exec, std::clamp(share_bytes, kLeastArrayBytes, wanted_bytes));
  ceilings.all = ceilings.first;
  const std::array<std::int64_t, 3> own{std::int64_t(ceilings.first.read_bytes_per_second),
                                        std::int64_t(ceilings.first.float32_flop_per_second),
                                        std::int64_t(ceilings.first.bfloat16_flop_per_second.value_or(0.0))};
  if (world.size() == 1) return ceilings;
  const std::vector<std::int64_t> values = world.all_gather_values(own);
  std::array<double, 3> sum{};
  bool all_have_bfloat16 = true;
  for (std::size_t i = 0; i < values.size(); ++i) {
    sum[i % 3] += double(values[i]);
    if (i % 3 == 2 && values[i] == 0) all_have_bfloat16 = false;
  }
  ceilings.all.read_bytes_per_second = sum[0];
  ceilings.all.float32_flop_per_second = sum[1];
  ceilings.all.bfloat16_flop_per_second = all_have_bfloat16 ? std::optional(sum[2]) : std::nullopt;
  return ceilings;
}

}  // namespace m2
