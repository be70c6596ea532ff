// SPDX-License-Identifier: Apache-2.0
#include "jobs/same_on_ranks.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "io/file.hpp"
#include "io/hash.hpp"
#include "kernels/panels/panel_gemm.hpp"

namespace m2 {
namespace {

constexpr std::size_t kReadBytes = std::size_t{1} << 20;

// The first line that differs, of both.
std::pair<std::string, std::string> first_difference(const std::string& a, const std::string& b) {
  std::istringstream lines_a(a), lines_b(b);
  std::string line_a, line_b;
  while (true) {
    const bool more_a = bool(std::getline(lines_a, line_a)), more_b = bool(std::getline(lines_b, line_b));
    if (!more_a) line_a = "no more lines";
    if (!more_b) line_b = "no more lines";
    if (line_a != line_b || (!more_a && !more_b)) return {line_a, line_b};
  }
}

// A line about the contents of a file. Nothing for what can be read once only, as a pipe, or not at all: that is told
// where it is read.
std::string contents_line(std::string_view key, const std::optional<std::string>& path) {
  std::error_code ignored;
  if (!path || !std::filesystem::is_regular_file(*path, ignored)) return "";
  const File file(*path, File::Mode::read);
  std::vector<std::byte> buffer(kReadBytes);
  Hash64 hash;
  std::uint64_t bytes = 0;
  while (const std::size_t count = file.read_some(buffer)) {
    hash.update(std::span(buffer).first(count));
    bytes += count;
  }
  return fmt::format("{} {}: {} bytes with hash {:016x}\n", key, *path, bytes, hash.digest());
}

std::string contents_text(const Deck& deck) {
  return contents_line("model.config", deck.model.config) + contents_line("prompts.file", deck.prompts.file) +
         contents_line("data.file", deck.data.file) + contents_line("parallel.placement", deck.parallel.placement);
}

}  // namespace

void require_same_lines(std::string_view what, const std::string& lines, std::string_view advice, Communicator& world) {
  const std::vector<std::string> all = world.all_gather_texts(lines);
  for (int rank = 1; rank < world.size(); ++rank) {
    if (all[rank] == all[0]) continue;
    const auto [first, other] = first_difference(all[0], all[rank]);
    raise_usage("the ranks have different {}: rank 0 found '{}', rank {} '{}'; {}", what, first, rank, other, advice);
  }
}

void require_same_deck(const Deck& deck, Communicator& world) {
  if (world.size() == 1) return;
  require_same_lines("decks", deck_text(deck), "give all the same", world);
  require_same_lines("input files", contents_text(deck), "give all the same", world);
}

void require_same_kernels(Communicator& world) {
  require_same_lines("kernels", fmt::format("matrix multiplication: {}\n", panel_kernel_name()),
                     "results would differ in their last bits; use hosts with one kind of processor", world);
}

}  // namespace m2
