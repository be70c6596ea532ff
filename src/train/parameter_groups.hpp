// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "config/training_sections.hpp"
#include "model/parameter_schema.hpp"

namespace m2 {

/// How one parameter is trained.
struct ParameterFactors {
  bool is_trained = true;             ///< no pattern of train.freeze matches it
  double learning_rate_factor = 1.0;  ///< of the step's learning rate
  double weight_decay = 0.0;          ///< of AdamW and SGD, absolute
};

/// The groups of optimizer.groups, each "PATTERN lr=FACTOR decay=FACTOR" of which one factor may be left out, and the
/// patterns of train.freeze, applied to a model's parameters. Patterns are globs of fnmatch(3) on whole names, whose
/// `*` also matches `/`: "layers/0/*" is all of layer 0. The first group that matches a parameter counts. A factor of
/// decay multiplies optimizer.weight_decay; where none is said, it is 1 for matrices and 0 for vectors.
class ParameterGroups {
 public:
  /// `parameters`: those that have gradients. Throws UsageError, naming key and text, for a group that is not of that
  /// form, a factor below 0, a pattern that matches no parameter (with the nearest name), and when all are frozen.
  ParameterGroups(const OptimizerSection& optimizer, const std::vector<std::string>& freeze,
                  const std::vector<ParameterSchema>& parameters);

  /// Of each parameter, in the order that was given.
  const std::vector<ParameterFactors>& factors() const { return factors_; }

  /// A table for people: a line for each group, for the matrices and vectors of none, and for what is frozen, with
  /// learning rate factor, weight decay, how many parameters, how many values. Lines without parameters of the last
  /// three are left out.
  std::string text() const;

 private:
  struct Row {
    std::string name, learning_rate, weight_decay;
    std::int64_t num_parameters = 0, num_values = 0;
  };

  std::vector<ParameterFactors> factors_;
  std::vector<Row> rows_;  // of the table
};

}  // namespace m2
