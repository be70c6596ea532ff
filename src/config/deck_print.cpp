// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "config/deck_keys.hpp"

namespace m2 {
namespace {

/// `text` as comment lines of at most 100 characters.
std::string comment(const std::string& text, std::string_view indent) {
  constexpr std::size_t kWidth = 100;
  const std::string start = fmt::format("{}#", indent);
  std::string lines, line = start;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (line.size() + 1 + word.size() > kWidth) {
      lines += line + "\n";
      line = start;
    }
    line += " " + word;
  }
  return lines + line + "\n";
}

std::string print_key(const DeckKey& key, std::string_view last_name, const Deck& defaults) {
  const std::string status = key.required ? "Required" : "Default " + key.print(defaults);
  const std::string value = key.example.empty() ? key.print(defaults) : key.example;
  return comment(key.meaning, "  ") + comment(fmt::format("{}; {}.", status, key.expected), "  ") +
         fmt::format("  {}: {}\n", last_name, value);
}

std::string print_moe() {
  std::string text =
      "\nmoe:\n" + comment(
                       "Changes to the mixture of experts. The defaults follow the checkpoint; these are "
                       "MiniMax-M2's. What this system cannot honour is refused, as are sizes, experts per token "
                       "and a dtype that are not the checkpoint's. train_gate, gate_bias_update_factor and "
                       "aux_loss_coeff act in training only.",
                       "  ");
  for (const auto& [key, value] : MoEConfig().fields()) text += fmt::format("  # {}: {}\n", key, value);
  return text;
}

}  // namespace

std::string deck_text(const Deck& deck) {
  std::string text;
  for (const DeckKey& key : deck_keys()) {
    if (std::find(key.jobs.begin(), key.jobs.end(), deck.job) == key.jobs.end()) continue;
    text += fmt::format("{}: {}\n", key.path, key.print(deck));
  }
  for (const auto& [key, value] : deck.moe_overrides) text += fmt::format("moe.{}: {}\n", key, value);
  return text;
}

std::string print_deck(Job job) {
  Deck defaults;
  defaults.job = job;
  std::string text = comment(fmt::format("A deck of job '{}' with every key. Run it with: m2 DECK.yaml "
                                         "[section.key=value ...] [--check]",
                                         name(job)),
                             "") +
                     comment("Relative paths are relative to the current directory. null: not set.", "");
  std::string section;
  for (const DeckKey& key : deck_keys()) {
    if (std::find(key.jobs.begin(), key.jobs.end(), job) == key.jobs.end()) continue;
    const std::size_t dot = key.path.find('.');
    if (dot == std::string::npos) {
      text += fmt::format("{}: {}\n", key.path, key.print(defaults));
      continue;
    }
    if (section != key.path.substr(0, dot)) {
      section = key.path.substr(0, dot);
      text += fmt::format("\n{}:\n", section);
    }
    text += print_key(key, std::string_view(key.path).substr(dot + 1), defaults);
  }
  return text + print_moe();
}

}  // namespace m2
