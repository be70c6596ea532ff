// SPDX-License-Identifier: Apache-2.0
// What the files of the table of keys build its entries from.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/deck_keys.hpp"
#include "config/deck_value.hpp"

namespace m2::deck_key {

using Jobs = std::vector<Job>;

inline const Jobs kEvery{Job::generate, Job::score, Job::bench, Job::train};
inline const Jobs kTexts{Job::generate, Job::score};
inline const Jobs kResults{Job::generate, Job::score, Job::bench};
inline const Jobs kGenerate{Job::generate};
inline const Jobs kScore{Job::score};
inline const Jobs kBench{Job::bench};
inline const Jobs kTrain{Job::train};

/// A key whose values pass `check`; the member `field` of the section `section` of the deck holds it.
template <class Section, class T, class Check>
DeckKey key(std::string path, Jobs jobs, Section Deck::* section, T Section::* field, Check check, std::string expected,
            std::string meaning) {
  DeckKey result{std::move(path), std::move(jobs), std::move(meaning), std::move(expected)};
  result.read = [=](const YamlNode& value, Deck& deck) { return read_value(value, check, deck.*section.*field); };
  result.print = [=](const Deck& deck) { return print_value(deck.*section.*field); };
  return result;
}

template <class Section, class T>
DeckKey whole(std::string path, Jobs jobs, Section Deck::* section, T Section::* field, std::int64_t min,
              std::int64_t max, std::string meaning) {
  return key(std::move(path), std::move(jobs), section, field, NumberRange<std::int64_t>{min, max},
             fmt::format("a whole number from {} to {}", min, max), std::move(meaning));
}

template <class Section, class T>
DeckKey real(std::string path, Jobs jobs, Section Deck::* section, T Section::* field, double min, double max,
             std::string meaning) {
  return key(std::move(path), std::move(jobs), section, field, NumberRange<double>{min, max},
             fmt::format("a number from {} to {}", min, max), std::move(meaning));
}

/// A number in [0, 1).
template <class Section, class T>
DeckKey below_one(std::string path, Jobs jobs, Section Deck::* section, T Section::* field, std::string meaning) {
  return key(std::move(path), std::move(jobs), section, field, kBelowOne, "a number from 0 to below 1",
             std::move(meaning));
}

template <class Section>
DeckKey flag(std::string path, Jobs jobs, Section Deck::* section, bool Section::* field, std::string meaning) {
  return key(std::move(path), std::move(jobs), section, field, AnyBool{}, "true or false", std::move(meaning));
}

template <class Section, NamedEnum E>
DeckKey word(std::string path, Jobs jobs, Section Deck::* section, E Section::* field, std::string meaning) {
  return key(std::move(path), std::move(jobs), section, field, AnyWord{}, "one of " + allowed_names<E>(),
             std::move(meaning));
}

template <class Section, class T>
DeckKey text(std::string path, Jobs jobs, Section Deck::* section, T Section::* field, std::string meaning) {
  DeckKey result = key(std::move(path), std::move(jobs), section, field, NonEmptyText{}, "a text that is not empty",
                       std::move(meaning));
  result.is_text = true;
  return result;
}

template <class Section>
DeckKey texts(std::string path, Jobs jobs, Section Deck::* section, std::vector<std::string> Section::* field,
              std::string meaning) {
  return key(std::move(path), std::move(jobs), section, field, NonEmptyText{}, "a list of texts that are not empty",
             std::move(meaning));
}

inline std::vector<std::string> paths_of(const std::string& path) {
  return path.empty() ? std::vector<std::string>{} : std::vector<std::string>{path};
}
inline std::vector<std::string> paths_of(const std::optional<std::string>& path) { return paths_of(path.value_or("")); }
inline std::vector<std::string> paths_of(const std::vector<std::string>& paths) { return paths; }

/// `key`, the value of whose `field` is a path, or several.
template <class Section, class T>
DeckKey as_paths(DeckKey key, Section Deck::* section, T Section::* field, PathUse use) {
  key.path_use = use;
  key.paths = [=](const Deck& deck) { return paths_of(deck.*section.*field); };
  return key;
}

template <class Section, class T>
DeckKey path(std::string path, Jobs jobs, Section Deck::* section, T Section::* field, PathUse use,
             std::string meaning) {
  return as_paths(text(std::move(path), std::move(jobs), section, field, std::move(meaning)), section, field, use);
}

inline DeckKey with_example(DeckKey key, std::string example, bool required = false) {
  key.example = std::move(example);
  key.required = required;
  return key;
}

/// The section data.
void add_data_keys(std::vector<DeckKey>& keys);
/// train, optimizer, schedule, lora, checkpoint, validation and restore.
void add_training_keys(std::vector<DeckKey>& keys);

}  // namespace m2::deck_key
