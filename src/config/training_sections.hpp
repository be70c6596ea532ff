// SPDX-License-Identifier: Apache-2.0
// The sections of a deck that only training has, and the data that training and scoring share.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/enum_names.hpp"

namespace m2 {

/// What becomes of a document longer than data.sequence_length.
enum class TooLong { error, truncate, split, drop };
template <>
inline constexpr std::array<std::string_view, 4> kEnumNames<TooLong>{"error", "truncate", "split", "drop"};

/// What becomes of a line that cannot be read.
enum class OnBadLine { error, skip };
template <>
inline constexpr std::array<std::string_view, 2> kEnumNames<OnBadLine>{"error", "skip"};

/// Which of a conversation's answers carry loss.
enum class TrainOn { all, last };
template <>
inline constexpr std::array<std::string_view, 2> kEnumNames<TrainOn>{"all", "last"};

/// Thoughts of earlier turns: left out as the chat template does at inference, or one sample for each user's turn,
/// whose last answer keeps its own.
enum class HistoryThinking { as_template, expand };
template <>
inline constexpr std::array<std::string_view, 2> kEnumNames<HistoryThinking>{"template", "expand"};

/// score has `file` only; of train, exactly one of `file` and `files` is set.
struct DataSection {
  std::string file;                ///< JSON Lines; for training also tokens of `m2-convert tokenize`
  std::vector<std::string> files;  ///< several of them
  std::vector<double> weights;     ///< how often each of `files` is drawn, relative to its size; empty: 1 each
  int sequence_length = 4096;      ///< tokens
  bool packing = true;             ///< several documents in a sequence, which do not see one another
  bool shuffle = true;
  std::int64_t seed = 0;
  TooLong too_long = TooLong::error;
  OnBadLine on_bad_line = OnBadLine::error;
  TrainOn train_on = TrainOn::all;
  bool train_on_thinking = true;
  HistoryThinking history_thinking = HistoryThinking::as_template;
  double holdout_fraction = 0.0;     ///< of the documents, kept for validation
  std::vector<std::string> columns;  ///< "completion=answer": the line's key `answer` is what we call completion
  bool operator==(const DataSection&) const = default;
};

/// What is not saved in the forward pass and computed again in the backward pass.
enum class Recompute { automatic, none, selective, block };
template <>
inline constexpr std::array<std::string_view, 4> kEnumNames<Recompute>{"auto", "none", "selective", "block"};

/// Of job train; exactly one of `steps` and `epochs` is set.
struct TrainSection {
  std::optional<std::int64_t> steps;
  std::optional<std::int64_t> epochs;
  int global_batch = 1;                       ///< sequences of one step
  int micro_batch = 1;                        ///< sequences of one pass
  std::optional<double> max_grad_norm = 1.0;  ///< unset: gradients are not clipped
  Recompute recompute = Recompute::automatic;
  int max_skipped_steps = 10;       ///< steps in a row with a gradient that is not finite, before the job ends
  std::vector<std::string> freeze;  ///< patterns of parameters that stay as they are
  bool operator==(const TrainSection&) const = default;
};

enum class OptimizerName { adamw, sgd };
template <>
inline constexpr std::array<std::string_view, 2> kEnumNames<OptimizerName>{"adamw", "sgd"};

enum class MomentsDType { float32, bfloat16 };
template <>
inline constexpr std::array<std::string_view, 2> kEnumNames<MomentsDType>{"float32", "bfloat16"};

struct OptimizerSection {
  OptimizerName name = OptimizerName::adamw;
  double learning_rate = 1e-5;
  std::vector<double> betas{0.9, 0.95};  ///< two, of adamw
  double eps = 1e-8;                     ///< of adamw
  double momentum = 0.9;                 ///< of sgd
  double weight_decay = 0.1;
  MomentsDType moments = MomentsDType::float32;
  std::vector<std::string> groups;  ///< "PATTERN lr=FACTOR decay=FACTOR", the first that matches a parameter's name
  bool operator==(const OptimizerSection&) const = default;
};

enum class ScheduleName { constant, linear, cosine, inverse_sqrt, wsd };
template <>
inline constexpr std::array<std::string_view, 5> kEnumNames<ScheduleName>{"constant", "linear", "cosine",
                                                                          "inverse_sqrt", "wsd"};

/// How wsd falls at its end.
enum class DecayShape { linear, cosine, exponential, minus_sqrt };
template <>
inline constexpr std::array<std::string_view, 4> kEnumNames<DecayShape>{"linear", "cosine", "exponential",
                                                                        "minus_sqrt"};

struct ScheduleSection {
  ScheduleName name = ScheduleName::cosine;
  std::int64_t warmup_steps = 0;
  double min_ratio = 0.1;                   ///< the lowest learning rate, relative to optimizer.learning_rate
  std::optional<std::int64_t> decay_steps;  ///< of wsd; unset: a tenth of all steps
  DecayShape decay = DecayShape::linear;    ///< of wsd
  bool operator==(const ScheduleSection&) const = default;
};

/// Low-rank adapters; there are some where `rank` or `adapter` is set.
struct LoraSection {
  std::optional<int> rank;      ///< unset, as the next two: what the adapter says
  std::optional<double> alpha;  ///< unset without an adapter: `rank`
  std::vector<std::string> targets;
  double dropout = 0.0;
  std::optional<std::string> adapter;  ///< PEFT folder to start from
  bool operator==(const LoraSection&) const = default;
};

/// When a Hugging Face folder is written beside a checkpoint.
enum class ExportWhen { never, final, every };
template <>
inline constexpr std::array<std::string_view, 3> kEnumNames<ExportWhen>{"never", "final", "every"};

struct CheckpointSection {
  std::optional<std::string> folder;  ///< unset: nothing is saved
  std::optional<std::int64_t> every;  ///< steps; unset: at the end and on a signal
  int keep = 3;                       ///< checkpoints besides those that `latest` and `best` name
  ExportWhen export_when = ExportWhen::never;
  bool operator==(const CheckpointSection&) const = default;
};

struct ValidationSection {
  std::optional<std::string> file;
  std::optional<std::int64_t> every;          ///< steps; unset: before the first step and after the last
  std::optional<std::vector<double>> expect;  ///< low and high of the loss before the first step
  bool operator==(const ValidationSection&) const = default;
};

enum class RestoreWhat { all, model };
template <>
inline constexpr std::array<std::string_view, 2> kEnumNames<RestoreWhat>{"all", "model"};

inline constexpr std::string_view kRestoreLatest = "latest", kRestoreNone = "none";

struct RestoreSection {
  std::string from{kRestoreLatest};  ///< of checkpoint.folder, if there is one; kRestoreNone; or a checkpoint's path
  RestoreWhat what = RestoreWhat::all;
  bool override_deck = false;  ///< continues although schedule or data changed
  bool operator==(const RestoreSection&) const = default;
};

}  // namespace m2
