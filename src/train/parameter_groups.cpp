// SPDX-License-Identifier: Apache-2.0
#include "train/parameter_groups.hpp"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <sstream>
#include <string_view>

#include "config/parse_number.hpp"
#include "core/error.hpp"
#include "core/nearest.hpp"
#include "core/plural.hpp"

namespace m2 {
namespace {

struct Group {
  std::string pattern;
  std::optional<double> learning_rate, decay;
};

Group parse_group(const std::string& text) {
  std::istringstream words(text);
  Group group;
  words >> group.pattern;
  for (std::string word; words >> word;) {
    const std::size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    std::optional<double>* const factor = name == "lr"      ? &group.learning_rate
                                          : name == "decay" ? &group.decay
                                                            : nullptr;
    const auto value =
        equals == std::string::npos ? std::nullopt : parse_real(std::string_view(word).substr(equals + 1));
    if (factor == nullptr || factor->has_value() || !value || *value < 0.0) {
      raise_usage(
          "optimizer.groups: '{}' in '{}' is not understood; 'PATTERN lr=FACTOR decay=FACTOR' is expected, each "
          "factor a number from 0 up and at most once",
          word, text);
    }
    *factor = value;
  }
  if (!group.learning_rate && !group.decay) {
    raise_usage(
        "optimizer.groups: '{}' has no factor; 'PATTERN lr=FACTOR decay=FACTOR' is expected, of which one may "
        "be left out",
        text);
  }
  return group;
}

bool matches(const std::string& pattern, const ParameterSchema& parameter) {
  return fnmatch(pattern.c_str(), parameter.name.c_str(), 0) == 0;
}

void require_match(std::string_view key, const std::string& pattern, const std::vector<ParameterSchema>& parameters) {
  if (std::ranges::any_of(parameters, [&](const ParameterSchema& p) { return matches(pattern, p); })) return;
  std::vector<std::string> names;
  for (const ParameterSchema& parameter : parameters) names.push_back(parameter.name);
  raise_usage("{}: no parameter matches '{}'{}", key, pattern, did_you_mean(pattern, names));
}

}  // namespace

ParameterGroups::ParameterGroups(const OptimizerSection& optimizer, const std::vector<std::string>& freeze,
                                 const std::vector<ParameterSchema>& parameters) {
  std::vector<Group> groups;
  for (const std::string& text : optimizer.groups) groups.push_back(parse_group(text));
  for (const Group& group : groups) require_match("optimizer.groups", group.pattern, parameters);
  for (const std::string& pattern : freeze) require_match("train.freeze", pattern, parameters);

  for (const Group& group : groups) {
    const std::string decay = group.decay ? fmt::format("{:g}", *group.decay * optimizer.weight_decay)
                                          : fmt::format("{:g} (vectors 0)", optimizer.weight_decay);
    rows_.push_back({group.pattern, fmt::format("{:g}", group.learning_rate.value_or(1.0)), decay});
  }
  const std::size_t matrices = groups.size(), vectors = matrices + 1, frozen = matrices + 2;
  rows_.push_back({"other matrices", "1", fmt::format("{:g}", optimizer.weight_decay)});
  rows_.push_back({"other vectors", "1", "0"});
  rows_.push_back({"frozen", "-", "-"});

  for (const ParameterSchema& parameter : parameters) {
    ParameterFactors factors;
    std::size_t row = parameter.is_vector() ? vectors : matrices;
    const auto group = std::ranges::find_if(groups, [&](const Group& g) { return matches(g.pattern, parameter); });
    double decay = parameter.is_vector() ? 0.0 : 1.0;
    if (group != groups.end()) {
      row = std::size_t(group - groups.begin());
      factors.learning_rate_factor = group->learning_rate.value_or(1.0);
      decay = group->decay.value_or(decay);
    }
    factors.weight_decay = decay * optimizer.weight_decay;
    factors.is_trained = std::ranges::none_of(freeze, [&](const std::string& p) { return matches(p, parameter); });
    if (!factors.is_trained) row = frozen;
    ++rows_[row].num_parameters;
    rows_[row].num_values += parameter.num_values();
    factors_.push_back(factors);
  }
  if (std::ranges::none_of(factors_, &ParameterFactors::is_trained)) {
    raise_usage("train.freeze: it leaves none of {} to train", counted(std::int64_t(parameters.size()), "parameter"));
  }
  std::erase_if(rows_,
                [&, i = std::size_t{0}](const Row& row) mutable { return i++ >= matrices && row.num_parameters == 0; });
}

std::string ParameterGroups::text() const {
  std::size_t name_width = 0, decay_width = std::string_view("weight decay").size();
  for (const Row& row : rows_) {
    name_width = std::max(name_width, row.name.size());
    decay_width = std::max(decay_width, row.weight_decay.size());
  }
  std::string text =
      fmt::format("{:{}}  {:>12}  {:>{}}  {:>10}  {:>14}\n", "group", std::max<std::size_t>(name_width, 5),
                  "rate factor", "weight decay", decay_width, "parameters", "values");
  for (const Row& row : rows_) {
    text +=
        fmt::format("{:{}}  {:>12}  {:>{}}  {:>10}  {:>14}\n", row.name, std::max<std::size_t>(name_width, 5),
                    row.learning_rate, row.weight_decay, decay_width, row.num_parameters, count_text(row.num_values));
  }
  return text;
}

}  // namespace m2
