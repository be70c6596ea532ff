// SPDX-License-Identifier: Apache-2.0
#include "bench/texts.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/plural.hpp"

namespace m2 {

std::string share_text(double share) { return fmt::format("{:.3f}", share); }

std::string giga_text(double per_second) {
  const double giga = per_second * 1e-9;
  if (giga == 0.0) return "0";
  return giga >= 100.0 ? fmt::format("{:.0f}", giga)
                       : fmt::format("{:.{}f}", giga,
                                     giga >= 10.0    ? 1
                                     : giga >= 1.0   ? 2
                                     : giga >= 0.001 ? 3
                                                     : 6);
}

std::string seconds_text(double seconds) {
  const auto digits = [](double value) { return value >= 100.0 ? 0 : value >= 10.0 ? 1 : 2; };
  if (seconds >= 1.0) return fmt::format("{:.{}f} s", seconds, digits(seconds));
  if (seconds >= 1e-3) return fmt::format("{:.{}f} ms", seconds * 1e3, digits(seconds * 1e3));
  return fmt::format("{:.{}f} us", seconds * 1e6, digits(seconds * 1e6));
}

double seconds_between(const BenchPhase& phase) {
  double inside = 0.0;
  for (const OperationLog::Entry& entry : phase.operations) inside += entry.seconds;
  return std::max(phase.timed_seconds - inside, 0.0);
}

std::string phase_work(const BenchPhase& phase, const BenchResult& result) {
  const BenchSection& settings = result.settings;
  const std::string ranks =
      result.machine.num_ranks > 1 ? fmt::format(" on {} ranks", result.machine.num_ranks) : std::string();
  if (phase.name == "prefill") return counted(settings.prompt_tokens, "token") + ranks;
  if (phase.name == "train") return fmt::format("{} x {}", settings.batch, counted(settings.prompt_tokens, "token"));
  return fmt::format("{} x {} after {}{}", settings.batch, counted(settings.generated_tokens, "token"),
                     settings.context, ranks);
}

const char* phase_color(std::string_view phase) {
  if (phase == "train") return "#15803d";
  return phase == "prefill" ? "#1d4ed8" : "#c2410c";
}

}  // namespace m2
