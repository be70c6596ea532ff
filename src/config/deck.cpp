// SPDX-License-Identifier: Apache-2.0
#include "config/deck.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "config/deck_keys.hpp"
#include "config/training_rules.hpp"
#include "core/error.hpp"
#include "core/nearest.hpp"
#include "io/file.hpp"

namespace m2 {
namespace {

constexpr std::string_view kCommandLine = "command line";
constexpr std::string_view kMoEPrefix = "moe.";

/// A value somebody gave, and where: "deck.yaml:12" or "command line".
struct Assignment {
  std::string path;
  YamlNode value;
  std::string place;
};

template <class... Args>
[[noreturn]] void refuse(const std::string& place, fmt::format_string<Args...> format, Args&&... args) {
  raise_usage("{}: {}", place, fmt::format(format, std::forward<Args>(args)...));
}

bool has_job(const DeckKey& key, Job job) { return std::find(key.jobs.begin(), key.jobs.end(), job) != key.jobs.end(); }

/// That of `job`, or of any job.
const DeckKey* find_key(std::string_view path, std::optional<Job> job = std::nullopt) {
  for (const DeckKey& key : deck_keys()) {
    if (key.path == path && (!job || has_job(key, *job))) return &key;
  }
  return nullptr;
}

bool is_section(std::string_view name) {
  const std::string prefix = std::string(name) + ".";
  const auto is_inside = [&](const DeckKey& key) { return key.path.starts_with(prefix); };
  return prefix == kMoEPrefix || std::any_of(deck_keys().begin(), deck_keys().end(), is_inside);
}

/// "section.key" for every key in the text. A section without keys is fine: all of them may be commented out.
std::vector<Assignment> read_file_assignments(const YamlNode& root, const std::string& source) {
  if (root.kind != YamlNode::Kind::map) {
    refuse(source, "found {}, expected sections such as 'model:' with 'key: value' lines; --print-deck shows one",
           describe(root));
  }
  std::vector<Assignment> assignments;
  for (std::size_t i = 0; i < root.keys.size(); ++i) {
    const YamlNode &name = root.keys[i], &section = root.items[i];
    const std::string place = fmt::format("{}:{}", source, name.line);
    if (section.kind == YamlNode::Kind::map) {
      for (std::size_t j = 0; j < section.keys.size(); ++j) {
        const YamlNode& key = section.keys[j];
        assignments.push_back({name.text + "." + key.text, section.items[j], fmt::format("{}:{}", source, key.line)});
      }
    } else if (!is_section(name.text)) {
      assignments.push_back({name.text, section, place});
    } else if (section.kind != YamlNode::Kind::null) {
      refuse(place, "{}: expected 'key: value' lines, found {}", name.text, describe(section));
    }
  }
  return assignments;
}

Assignment read_override(const std::string& text) {
  const std::string place(kCommandLine);
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) refuse(place, "found '{}', expected section.key=value", text);
  Assignment assignment{text.substr(0, equals), {}, place};
  const std::string value = text.substr(equals + 1);
  const DeckKey* key = find_key(assignment.path);
  const bool is_text = key ? key->is_text : assignment.path.starts_with(kMoEPrefix);
  if (is_text && value != "null") {
    assignment.value.kind = YamlNode::Kind::scalar;
    assignment.value.text = value;
  } else {
    assignment.value = parse_yaml(value, place);
  }
  return assignment;
}

// Settings of other programs' MPI-IO that somebody may look for here, and what there is in their place.
void refuse_mpi_io(const Assignment& assignment) {
  const char* words = nullptr;
  if (assignment.path == "io.alignment") {
    words = "the files that a job writes are not HDF5; 'm2-convert import --alignment' sets it for a checkpoint";
  }
  if (assignment.path == "io.collective_buffering") {
    words =
        "files are not read through MPI-IO; io.shared_reads makes each byte be read once, io.read_mib sets the size";
  }
  if (words) refuse(assignment.place, "there is no key '{}': {} (docs/io.md)", assignment.path, words);
}

[[noreturn]] void refuse_unknown(const Assignment& assignment, Job job) {
  if (const DeckKey* key = find_key(assignment.path)) {
    refuse(assignment.place, "key '{}' belongs to job '{}', this deck's job is '{}'", assignment.path,
           name(key->jobs.front()), name(job));
  }
  if (is_section(assignment.path)) {
    refuse(assignment.place, "'{}' is a section, expected {}.key=value", assignment.path, assignment.path);
  }
  refuse_mpi_io(assignment);
  const bool is_alone = assignment.path.find('.') == std::string::npos;  // then it was meant to be a section
  std::vector<std::string> names{"moe"};
  for (const DeckKey& key : deck_keys()) {
    if (has_job(key, job)) names.push_back(is_alone ? key.path.substr(0, key.path.find('.')) : key.path);
  }
  refuse(assignment.place, "unknown key '{}'{}", assignment.path, did_you_mean(assignment.path, names));
}

void read_value_of(const DeckKey& key, const Assignment& assignment, Deck& deck) {
  if (key.read(assignment.value, deck)) return;
  refuse(assignment.place, "{}: expected {}, found {}", key.path, key.expected, describe(assignment.value));
}

void add_moe_override(const Assignment& assignment, Deck& deck) {
  const std::string key = assignment.path.substr(kMoEPrefix.size());
  if (assignment.value.kind != YamlNode::Kind::scalar) {
    refuse(assignment.place, "{}: expected one value, found {}", assignment.path, describe(assignment.value));
  }
  try {
    MoEConfig().set(key, assignment.value.text);  // key and type; whether it fits the model is seen with the model
  } catch (const Error& e) {
    refuse(assignment.place, "{}: {}", assignment.path, e.what());
  }
  deck.moe_overrides[key] = assignment.value.text;
}

/// Which keys there are depends on the job, so that it is read before all others.
Job read_job(const std::vector<Assignment>& assignments, const std::string& source) {
  const DeckKey& key = *find_key("job");
  Deck deck;
  bool found = false;
  for (const Assignment& assignment : assignments) {
    if (assignment.path != key.path) continue;
    read_value_of(key, assignment, deck);
    found = true;
  }
  if (!found) refuse(source, "key 'job' is missing, expected {}", key.expected);
  return deck.job;
}

void require_complete(const Deck& deck, const KeyPlaces& given, const std::string& source) {
  for (const DeckKey& key : deck_keys()) {
    if (!key.required || !has_job(key, deck.job) || given.contains(key.path)) continue;
    refuse(source, "key '{}' is missing, expected {}: {}", key.path, key.expected, key.meaning);
  }
  const bool may_lack_model = deck.job == Job::bench && deck.bench.operations && !deck.model.checkpoint;
  if (!may_lack_model && deck.model.checkpoint.has_value() == deck.model.config.has_value()) {
    refuse(source, "expected either 'model.checkpoint' or 'model.config', found {}",
           deck.model.config ? "both" : "neither");
  }
  if (deck.job == Job::generate && deck.prompts.file.has_value() == deck.prompts.text.has_value()) {
    refuse(source, "expected either 'prompts.file' or 'prompts.text', found {}",
           deck.prompts.file ? "both" : "neither");
  }
  if (deck.output.resume && !deck.output.file) refuse(source, "'output.resume: true' needs 'output.file'");
  if (deck.job == Job::train) require_training_rules(deck, given, source);
}

}  // namespace

std::vector<PathRole> deck_paths(const Deck& deck) {
  std::vector<PathRole> paths;
  if (!deck.file.empty()) paths.push_back({"the deck", deck.file, PathUse::read});
  for (const DeckKey& key : deck_keys()) {
    if (!key.path_use || !has_job(key, deck.job)) continue;
    for (const std::string& path : key.paths(deck)) paths.push_back({key.path, path, *key.path_use});
  }
  return paths;
}

Deck parse_deck(std::string_view text, const std::string& source, std::span<const std::string> overrides) {
  std::vector<Assignment> assignments = read_file_assignments(parse_yaml(text, source), source);
  for (const std::string& override_text : overrides) assignments.push_back(read_override(override_text));
  Deck deck;
  deck.job = read_job(assignments, source);
  KeyPlaces given;
  for (const Assignment& assignment : assignments) {
    const DeckKey* key = find_key(assignment.path, deck.job);
    if (assignment.path.starts_with(kMoEPrefix)) {
      add_moe_override(assignment, deck);
    } else if (key) {
      read_value_of(*key, assignment, deck);
      given[key->path] = assignment.place;
    } else {
      refuse_unknown(assignment, deck.job);
    }
  }
  require_complete(deck, given, source);
  return deck;
}

Deck load_deck(const std::string& path, std::span<const std::string> overrides) {
  std::string text;
  try {
    text = read_text_file(path);
  } catch (const Error&) {
    raise_usage("{}: cannot read the deck; expected a YAML file, as --print-deck prints", path);
  }
  Deck deck = parse_deck(text, path, overrides);
  deck.file = path;
  return deck;
}

}  // namespace m2
