// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/backend_config.hpp"
#include "config/moe_config.hpp"
#include "config/training_sections.hpp"
#include "io/path_roles.hpp"

namespace m2 {

enum class Job { generate, score, bench, train };
template <>
inline constexpr std::array<std::string_view, 4> kEnumNames<Job>{"generate", "score", "bench", "train"};

/// In which type a model computes; `automatic` ("auto") is what the checkpoint says.
enum class ComputeDType { automatic, float32, bfloat16 };
template <>
inline constexpr std::array<std::string_view, 3> kEnumNames<ComputeDType>{"auto", "float32", "bfloat16"};

/// Whether the text of a single prompt is printed while it is generated; `automatic` ("auto"): on a terminal.
enum class StreamText { automatic, always, never };
template <>
inline constexpr std::array<std::string_view, 3> kEnumNames<StreamText>{"auto", "always", "never"};

/// `automatic` ("auto") where it is faster.
enum class Switch { automatic, on, off };
template <>
inline constexpr std::array<std::string_view, 3> kEnumNames<Switch>{"auto", "on", "off"};

/// Where the answers of a token's experts are summed; `exact`: where the token came from, one by one. `reduced`: those
/// of one rank on that rank, which sends fewer bytes and makes bits depend on the number of ranks.
enum class CombineMode { exact, reduced };
template <>
inline constexpr std::array<std::string_view, 2> kEnumNames<CombineMode>{"exact", "reduced"};

/// Exactly one of checkpoint and config is set; neither may be for a bench job of single operations.
struct ModelSection {
  std::optional<std::string> checkpoint;  ///< HDF5 file or Hugging Face directory
  std::optional<std::string> config;      ///< config.json of a model that gets random weights
  ComputeDType dtype = ComputeDType::automatic;
  std::optional<std::string> adapter = {};  ///< PEFT folder
  bool operator==(const ModelSection&) const = default;
};

/// Exactly one of the two is set.
struct PromptsSection {
  std::optional<std::string> file;  ///< JSON Lines
  std::optional<std::string> text;
  bool operator==(const PromptsSection&) const = default;
};

struct SamplingSection {
  std::int64_t max_new_tokens = 256;
  std::optional<double> temperature;  ///< unset, as for the next two: what the checkpoint's generation_config.json says
  std::optional<int> top_k;
  std::optional<double> top_p;
  double min_p = 0.0;
  double repetition_penalty = 1.0;
  std::int64_t seed = 0;
  std::vector<std::string> stop;
  std::vector<int> stop_token_ids;
  bool ignore_eos = false;
  bool logprobs = false;
  bool operator==(const SamplingSection&) const = default;
};

struct BatchSection {
  int max_tokens = 2048;
  int max_sequences = 16;
  bool operator==(const BatchSection&) const = default;
};

struct MemorySection {
  std::optional<double> limit_gib;  ///< unset: what the machine has
  bool operator==(const MemorySection&) const = default;
};

struct OutputSection {
  std::optional<std::string> file;  ///< JSON Lines (bench: JSON); unset: standard output (train: none)
  bool resume = false;
  StreamText stream = StreamText::automatic;
  double grace_seconds = 90.0;             ///< for the sequences in flight after SIGUSR1
  std::optional<std::string> expert_load;  ///< JSON file
  std::optional<std::string> report = {};  ///< HTML, of bench and train
  bool operator==(const OutputSection&) const = default;
};

struct ParallelSection {
  std::optional<int> expert;             ///< ranks that share the experts of a layer; unset: all
  std::optional<std::string> placement;  ///< JSON file: which rank holds which expert
  CombineMode combine = CombineMode::exact;
  Switch overlap = Switch::automatic;
  std::optional<int> tokens_per_exchange;  ///< of each rank; unset: default_tokens_per_exchange()
  bool operator==(const ParallelSection&) const = default;
};

struct IoSection {
  Switch shared_reads = Switch::automatic;  ///< what every rank needs is read by one and passed on
  int read_mib = 1;
  bool operator==(const IoSection&) const = default;
};

struct BenchSection {
  int prompt_tokens = 512;    ///< of one sequence, in one pass
  int generated_tokens = 32;  ///< of each sequence
  int batch = 1;              ///< sequences that generate at the same time, on each rank
  int context = 512;          ///< positions before the first generated token
  int repeats = 5;
  bool operations = false;  ///< measures single operations, too
  bool train = false;       ///< measures training steps, too: `batch` sequences of prompt_tokens
  bool operator==(const BenchSection&) const = default;
};

/// A job deck. Sections a job does not have keep their defaults: prompts and sampling belong to generate, data to
/// score and train, bench to bench, train to restore to train.
struct Deck {
  std::string file;  ///< that load_deck() read; empty for a deck that parse_deck() read
  Job job = Job::generate;
  ModelSection model;
  PromptsSection prompts;
  SamplingSection sampling;
  BatchSection batch;
  MemorySection memory;
  OutputSection output;
  DataSection data;
  TrainSection train;
  OptimizerSection optimizer;
  ScheduleSection schedule;
  LoraSection lora;
  CheckpointSection checkpoint;
  ValidationSection validation;
  RestoreSection restore;
  BenchSection bench;
  ParallelSection parallel;
  IoSection io;
  BackendConfig backend;
  MoEOverrides moe_overrides;
  bool operator==(const Deck&) const = default;
};

/// Reads the YAML file `path`; `overrides` are "section.key=value" as on the command line. Relative paths in a deck are
/// relative to the current directory. Throws UsageError that names file and line, or the command line.
Deck load_deck(const std::string& path, std::span<const std::string> overrides = {});

/// The same for a text; `source` is the name of the file in messages.
Deck parse_deck(std::string_view text, const std::string& source, std::span<const std::string> overrides = {});

/// Every key of the deck's job with its value, a line each: equal for equal decks.
std::string deck_text(const Deck& deck);

/// Every path that a run of the deck reads or writes, under its key; of the deck's own file, "the deck".
std::vector<PathRole> deck_paths(const Deck& deck);

/// A complete deck for the job: each key with its default (an example where there is none), unit and meaning as
/// comments.
std::string print_deck(Job job);

}  // namespace m2
