// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "config/training_sections.hpp"
#include "train/data/data_context.hpp"
#include "train/data/document.hpp"
#include "train/data/document_store.hpp"
#include "train/data/packing.hpp"

namespace m2 {

/// The next sequence of a training; all there is to save of the data.
struct DataPosition {
  std::int64_t epoch = 0;
  std::int64_t sequence = 0;  ///< of the epoch
  bool operator==(const DataPosition&) const = default;
};

/// The sequences that a training learns from. Sequence s of epoch e is a pure function of the files, the section and
/// (e, s): no state but the position needs to be saved, and ranks and threads have no influence.
///
/// A sequence is a list of documents that do not see one another: with data.packing as many as fit into
/// sequence_length, else one. An epoch takes round(weight x documents) documents of each file: a weight of 1 all of
/// them, of 2 each twice, of 0.5 one half, and the next epoch the other one. With data.shuffle they are mixed anew in
/// every epoch; without it they keep the order of the files. Of a line that holdout_fraction holds out, nothing is
/// trained. Not for several threads at once.
class TrainData {
 public:
  /// Reads `file` or `files` of the section; progress of tokenising is shown on `progress`. Throws Error or UsageError
  /// naming the file and line, or the key. `context` must outlive the call only.
  TrainData(const DataSection& section, const DataContext& context, std::FILE* progress = nullptr);

  /// What holdout_fraction holds out, in the order of the files, each document once. Shares the documents' memory.
  /// Throws UsageError if it is 0 or so small that there is nothing.
  TrainData holdout() const;

  std::int64_t sequences_in_epoch(std::int64_t epoch);

  /// Documents of a sequence, in the order in which they are packed.
  std::vector<Document> sequence(DataPosition position);

  /// The position behind: sequence 0 of the next epoch behind the last of one.
  DataPosition after(DataPosition position);

  /// Equal if all sequences of all epochs are.
  std::uint64_t fingerprint() const;

  /// Lines that say what was found: documents, tokens, tokens with loss, what was left out; sequences of the first
  /// epoch and how full they are.
  std::string summary();

 private:
  struct Sample {
    int file;
    std::int32_t num_tokens;
    std::int64_t document, first_token;
  };
  enum class Part { training, holdout };

  TrainData(std::shared_ptr<const std::vector<DocumentStore>> files, const DataSection& section, Part part);
  void add_samples(int file);
  void add_document(int file, std::int64_t document);
  std::vector<std::int64_t> choose(int file, std::int64_t epoch) const;
  void plan_epoch(std::int64_t epoch);

  DataSection section_;
  Part part_ = Part::training;
  std::shared_ptr<const std::vector<DocumentStore>> files_;
  std::vector<Sample> samples_;
  std::vector<std::int64_t> file_ends_;  // in samples_
  std::int64_t num_held_out_ = 0, num_too_long_ = 0, num_cut_tokens_ = 0;

  std::int64_t planned_epoch_ = -1;
  std::vector<std::int64_t> order_;  // samples of the planned epoch
  SequencePlan plan_;                // of places in order_
};

/// A hash of which samples a step learned from, and in which order: equal for equal steps, whatever it ran on.
std::uint64_t sample_ids_hash(std::span<const SampleId> ids);

}  // namespace m2
