// SPDX-License-Identifier: Apache-2.0
#include "jobs/memory_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <type_traits>
#include <vector>

#include "config/describe_model.hpp"
#include "core/byte_size.hpp"
#include "core/device_memory.hpp"
#include "core/error.hpp"
#include "core/memory.hpp"
#include "core/print.hpp"
#include "parallel/mesh.hpp"

namespace m2 {
namespace {

// What a job leaves to the system and to small things, as a share of the available memory.
constexpr std::int64_t kReserveShare = 32;

}  // namespace

std::optional<std::int64_t> usable_bytes(const MemorySection& memory, int ranks_on_host) {
  std::optional<std::int64_t> limit;
  if (memory.limit_gib) limit = std::int64_t(*memory.limit_gib * double(1 << 30));
  std::optional<std::int64_t> machine = available_device_bytes();
  if (std::is_same_v<MemorySpace, HostSpace>) machine = available_memory_bytes() / ranks_on_host;
  if (!machine) return limit;
  const std::int64_t usable = *machine - *machine / kReserveShare;
  return std::min(limit.value_or(usable), usable);
}

namespace {

std::map<DType, std::int64_t> weight_bytes(MiniMaxM2ForCausalLM& model) {
  std::map<DType, std::int64_t> bytes;
  for (const Parameter& parameter : model.parameters()) {
    bytes[parameter.dtype()] += parameter.storage_bytes(parameter.dtype());
  }
  return bytes;
}

std::string bytes_text(std::int64_t bytes) { return byte_size_text(std::uint64_t(bytes)); }

std::string weights_text(const MemoryPlan& plan) {
  std::string parts;
  for (const auto& [dtype, bytes] : plan.weight_bytes) {
    parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", bytes_text(bytes), name(dtype));
  }
  return parts;
}

std::string available_text(const MemoryPlan& plan) {
  return plan.available_bytes ? bytes_text(*plan.available_bytes) + " available"
                              : "the device's memory, which is not known in advance";
}

std::int64_t file_bytes(const TensorSource& source) {
  std::int64_t bytes = 0;
  for (const StoredTensor& tensor : source.tensors()) bytes += std::int64_t(tensor.size_bytes());
  return bytes;
}

constexpr const char* kRankHeader = "\nrank     weights    buffers   KV cache      total  of\n";

std::string rank_row(const MemoryPlan& plan, int rank) {
  return fmt::format("{:>4}  {:>10} {:>10} {:>10} {:>10}  {}\n", rank, bytes_text(plan.total_weight_bytes()),
                     bytes_text(plan.buffer_bytes), bytes_text(plan.kv_bytes), bytes_text(plan.total_bytes()),
                     available_text(plan));
}

}  // namespace

std::int64_t MemoryPlan::total_weight_bytes() const {
  return std::accumulate(weight_bytes.begin(), weight_bytes.end(), std::int64_t{0},
                         [](std::int64_t sum, const auto& entry) { return sum + entry.second; });
}

MemoryPlan plan_memory(MiniMaxM2ForCausalLM& model, std::span<const std::int64_t> lengths, std::int64_t buffer_bytes,
                       const Deck& deck, Communicator& world) {
  const int ranks_on_host = world.size() == 1 ? 1 : world.split_by_host()->size();
  MemoryPlan plan{.weight_bytes = weight_bytes(model),
                  .buffer_bytes = buffer_bytes,
                  .available_bytes = usable_bytes(deck.memory, ranks_on_host),
                  .ranks_on_host = ranks_on_host};
  std::vector<std::int64_t> longest_first(lengths.begin(), lengths.end());
  std::ranges::sort(longest_first, std::greater<>());
  longest_first.resize(std::min(longest_first.size(), std::size_t(deck.batch.max_sequences)));
  plan.longest = std::max<std::int64_t>(longest_first.empty() ? 1 : longest_first[0], 1);
  plan.max_sequences = std::max(int(longest_first.size()), 1);

  const std::int64_t at_least = KVCache::pages_for(plan.longest);
  std::int64_t wanted = 0;
  for (const std::int64_t length : longest_first) wanted += KVCache::pages_for(length);
  const std::int64_t page_bytes = KVCache::page_bytes(model.config(), model.dtype());
  plan.kv_pages = std::max(wanted, at_least);
  if (plan.available_bytes) {
    const std::int64_t room = *plan.available_bytes - plan.total_weight_bytes() - plan.buffer_bytes;
    plan.kv_pages = std::max(std::min(plan.kv_pages, room / page_bytes), at_least);
  }
  plan.kv_bytes = plan.kv_pages * page_bytes;
  return plan;
}

void require_memory(const MemoryPlan& plan) {
  if (!plan.available_bytes) return;
  M2_REQUIRE(
      plan.total_bytes() <= *plan.available_bytes,
      "not enough memory: {} are needed (weights {}, buffers {}, KV cache {} for {} positions), {} are "
      "available{}\n  The buffers shrink with batch.max_tokens, the cache with the longest sequence, the weights "
      "with an FP8 checkpoint{}.",
      bytes_text(plan.total_bytes()), bytes_text(plan.total_weight_bytes()), bytes_text(plan.buffer_bytes),
      bytes_text(plan.kv_bytes), plan.kv_pages * kKvPage, bytes_text(*plan.available_bytes),
      plan.ranks_on_host > 1 ? fmt::format(" to each of the {} ranks on this host", plan.ranks_on_host) : "",
      plan.ranks_on_host > 1 ? " or more hosts" : "");
}

KVCache make_cache(const MemoryPlan& plan, const MiniMaxM2ForCausalLM& model) {
  return KVCache(model.exec(), model.config(), model.dtype(), plan.kv_pages, plan.max_sequences, plan.longest);
}

void print_plan(const MemoryPlan& plan, const Deck& deck, const JobModel& job, const std::string& work,
                Communicator& world) {
  const std::vector<std::string> ranks =
      world.size() == 1 ? std::vector<std::string>{} : world.all_gather_texts(rank_row(plan, world.rank()));
  if (world.rank() != 0) return;
  const MiniMaxM2ForCausalLM& model = job.model();
  std::string text;
  const auto row = [&](std::string_view key, const std::string& value) {
    text += fmt::format("{:<12}{}\n", key, value);
  };
  row("job", work);
  row("checkpoint", job.source()
                        ? fmt::format("{}, {} to read", job.source()->path(), bytes_text(file_bytes(*job.source())))
                        : "none: random weights");
  row("model", describe_model(model.config()));
  row("compute", fmt::format("{} on {}, {}, {} threads{}", name(model.dtype()), ExecSpace::name(),
                             layout_text(job.expert_parallel(), world.size()), model.exec().concurrency(),
                             world.size() > 1 ? " each" : ""));
  row("results", deck.output.file.value_or("standard output") + (deck.output.resume ? " (resumed)" : ""));
  if (world.size() > 1) row("", "on rank 0:");
  row("weights", fmt::format("{:>10}  {}", bytes_text(plan.total_weight_bytes()), weights_text(plan)));
  row("buffers", fmt::format("{:>10}  for passes of {} tokens", bytes_text(plan.buffer_bytes), deck.batch.max_tokens));
  row("KV cache", fmt::format("{:>10}  {} positions; the longest sequence has {}, up to {} run at once",
                              bytes_text(plan.kv_bytes), plan.kv_pages * kKvPage, plan.longest, plan.max_sequences));
  row("total", fmt::format("{:>10}  of {}", bytes_text(plan.total_bytes()), available_text(plan)));
  if (!ranks.empty()) text += kRankHeader;
  for (const std::string& line : ranks) text += line;
  print_now(text);
}

}  // namespace m2
