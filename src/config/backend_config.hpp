// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string_view>

#include "core/choices.hpp"

namespace m2 {

/// In which precision an intermediate quantity is kept.
enum class Precision { float32, bfloat16 };
template <>
inline constexpr std::array<std::string_view, 2> kEnumNames<Precision>{"float32", "bfloat16"};

/// How tokens reach their experts. `local`: all experts are in this process. `all_to_all`: they are split over ranks,
/// and the ranks exchange tokens; on one rank with itself, which only tests want.
enum class DispatcherBackend { automatic, local, all_to_all };
template <>
inline constexpr std::array<std::string_view, 3> kEnumNames<DispatcherBackend>{"auto", "local", "all_to_all"};

/// Which implementation computes what, and how exactly. The defaults are the more exact.
struct BackendConfig {
  GemmProvider linear = GemmProvider::automatic;
  GemmProvider experts = GemmProvider::automatic;
  RmsNormOrder rms_norm = RmsNormOrder::cast_last;
  Precision rope_tables = Precision::float32;
  Precision gate_precision = Precision::float32;
  DispatcherBackend dispatcher = DispatcherBackend::automatic;
  bool fake_balanced_gate = false;  ///< ignores the router and spreads tokens evenly: for benchmarks only
  float fake_gate_noise = 0.0f;     ///< in [0, 1]: how uneven the fake gate is; read only if fake_balanced_gate

  /// Throws Error if fake_gate_noise is outside [0, 1].
  void validate() const;

  /// The same with resolve()d providers: what a model computes with.
  BackendConfig resolved() const;

  bool operator==(const BackendConfig&) const = default;
};

}  // namespace m2
