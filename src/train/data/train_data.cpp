// SPDX-License-Identifier: Apache-2.0
#include "train/data/train_data.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "core/error.hpp"
#include "core/plural.hpp"
#include "io/hash.hpp"
#include "train/data/random_order.hpp"

namespace m2 {
namespace {

// Sequences that packing fills at the same time. More fill better and put a document farther from its place.
constexpr int kOpenSequences = 64;

std::vector<std::string> paths(const DataSection& section) {
  return section.files.empty() ? std::vector{section.file} : section.files;
}

void require_section(const DataSection& section) {
  const std::size_t num_files = paths(section).size();
  if (section.sequence_length < 2) {
    raise_usage("data.sequence_length is {}, expected at least 2: a token and the one that follows it",
                section.sequence_length);
  }
  if (!section.weights.empty() && section.weights.size() != num_files) {
    raise_usage("data.weights has {}, expected as many as there are files: {}",
                counted(std::ssize(section.weights), "number"), num_files);
  }
  for (const double weight : section.weights) {
    if (!(weight > 0.0) || !std::isfinite(weight)) {
      raise_usage("data.weights has {}, expected numbers above 0", weight);
    }
  }
  if (!(section.holdout_fraction >= 0.0 && section.holdout_fraction < 1.0)) {
    raise_usage("data.holdout_fraction is {}, expected a number from 0 to below 1", section.holdout_fraction);
  }
}

std::shared_ptr<const std::vector<DocumentStore>> open_files(const DataSection& section, const DataContext& context,
                                                             std::FILE* progress) {
  require_section(section);
  auto files = std::make_shared<std::vector<DocumentStore>>();
  for (const std::string& path : paths(section)) files->emplace_back(path, section, context, progress);
  return files;
}

}  // namespace

TrainData::TrainData(const DataSection& section, const DataContext& context, std::FILE* progress)
    : TrainData(open_files(section, context, progress), section, Part::training) {
  M2_REQUIRE(!samples_.empty(), "{}: nothing is left to train on: of {}, {} held out and {} dropped as too long",
             (*files_)[0].path(), counted((*files_)[0].num_documents(), "document"), num_held_out_, num_too_long_);
}

TrainData::TrainData(std::shared_ptr<const std::vector<DocumentStore>> files, const DataSection& section, Part part)
    : section_(section), part_(part), files_(std::move(files)) {
  for (int file = 0; file < int(files_->size()); ++file) {
    add_samples(file);
    file_ends_.push_back(std::ssize(samples_));
  }
}

TrainData TrainData::holdout() const {
  DataSection section = section_;
  section.shuffle = false;
  section.weights.clear();
  TrainData data(files_, section, Part::holdout);
  if (data.samples_.empty()) {
    raise_usage("data.holdout_fraction {} holds out no document: there is nothing to validate on",
                section.holdout_fraction);
  }
  return data;
}

void TrainData::add_samples(int file) {
  const DocumentStore& store = (*files_)[std::size_t(file)];
  for (std::int64_t document = 0; document < store.num_documents(); ++document) {
    // By lines: several samples of one conversation stay on one side.
    const RandomPurpose purpose{RandomPurpose::Kind::holdout, file};
    const bool held_out = section_.holdout_fraction > 0.0 &&
                          random_fraction(section_.seed, purpose, store.line(document)) < section_.holdout_fraction;
    num_held_out_ += held_out ? 1 : 0;
    if (held_out == (part_ == Part::holdout)) add_document(file, document);
  }
}

void TrainData::add_document(int file, std::int64_t document) {
  const DocumentStore& store = (*files_)[std::size_t(file)];
  const std::int64_t num_tokens = store.num_tokens(document), limit = section_.sequence_length;
  if (num_tokens <= limit) {
    samples_.push_back({file, std::int32_t(num_tokens), document, 0});
    return;
  }
  ++num_too_long_;
  switch (section_.too_long) {
    case TooLong::error:
      raise(
          "{}: the document of line {} has {} tokens, more than data.sequence_length, {}; data.too_long can be "
          "truncate, split or drop",
          store.path(), store.line(document), num_tokens, limit);
    case TooLong::truncate:
      samples_.push_back({file, std::int32_t(limit), document, 0});
      num_cut_tokens_ += num_tokens - limit;
      break;
    case TooLong::split:
      // A piece begins with the last token of the one before, so that every label is trained exactly once.
      for (std::int64_t first = 0; first + 1 < num_tokens; first += limit - 1) {
        samples_.push_back({file, std::int32_t(std::min(limit, num_tokens - first)), document, first});
      }
      break;
    case TooLong::drop:
      num_cut_tokens_ += num_tokens;
      break;
  }
}

// The samples of a file that belong to an epoch. A file is an endless row of rounds, each all of it in another order;
// epochs take equal parts of the row, one after the other.
std::vector<std::int64_t> TrainData::choose(int file, std::int64_t epoch) const {
  const std::int64_t begin = file == 0 ? 0 : file_ends_[std::size_t(file) - 1];
  const std::int64_t count = file_ends_[std::size_t(file)] - begin;
  const double weight = section_.weights.empty() ? 1.0 : section_.weights[std::size_t(file)];
  const std::int64_t num_chosen = std::llround(weight * double(count));
  const bool in_order = !section_.shuffle || count == 0 || num_chosen % count == 0;
  std::vector<std::int64_t> chosen, round;
  for (std::int64_t place = epoch * num_chosen; place < (epoch + 1) * num_chosen; ++place) {
    if (!in_order && (round.empty() || place % count == 0)) {
      const RandomPurpose purpose{RandomPurpose::Kind::file_round, file};
      round = random_order(count, section_.seed, purpose, place / count);
    }
    chosen.push_back(begin + (in_order ? place % count : round[std::size_t(place % count)]));
  }
  return chosen;
}

void TrainData::plan_epoch(std::int64_t epoch) {
  if (epoch == planned_epoch_) return;
  std::vector<std::int64_t> chosen;
  for (int file = 0; file < int(files_->size()); ++file) {
    const std::vector<std::int64_t> of_file = choose(file, epoch);
    chosen.insert(chosen.end(), of_file.begin(), of_file.end());
  }
  M2_REQUIRE(!chosen.empty(), "data.weights are so small that an epoch has no document");
  order_ = chosen;
  if (section_.shuffle) {
    const auto places = random_order(std::ssize(chosen), section_.seed, {RandomPurpose::Kind::epoch_order}, epoch);
    for (std::size_t i = 0; i < places.size(); ++i) order_[i] = chosen[std::size_t(places[i])];
  }
  if (section_.packing) {
    std::vector<std::int64_t> lengths;
    lengths.reserve(order_.size());
    for (const std::int64_t sample : order_) lengths.push_back(samples_[std::size_t(sample)].num_tokens);
    plan_ = pack(lengths, section_.sequence_length, section_.shuffle ? kOpenSequences : 1);
  } else {
    plan_ = one_each(std::ssize(order_));
  }
  planned_epoch_ = epoch;
}

std::int64_t TrainData::sequences_in_epoch(std::int64_t epoch) {
  plan_epoch(epoch);
  return plan_.num_sequences();
}

std::vector<Document> TrainData::sequence(DataPosition position) {
  const std::int64_t count = sequences_in_epoch(position.epoch);
  M2_REQUIRE(position.sequence >= 0 && position.sequence < count,
             "there is no sequence {} in epoch {}, which has {}: the data are not those of the position",
             position.sequence, position.epoch, count);
  std::vector<Document> documents;
  for (const std::int64_t place : plan_.sequence(position.sequence)) {
    const Sample& sample = samples_[std::size_t(order_[std::size_t(place)])];
    documents.push_back(
        (*files_)[std::size_t(sample.file)].read(sample.document, sample.first_token, sample.num_tokens));
    documents.back().id.file = sample.file;
  }
  return documents;
}

DataPosition TrainData::after(DataPosition position) {
  if (position.sequence + 1 < sequences_in_epoch(position.epoch)) return {position.epoch, position.sequence + 1};
  return {position.epoch + 1, 0};
}

std::uint64_t TrainData::fingerprint() const {
  std::string text;
  for (const DocumentStore& file : *files_) text += fmt::format("{:016x} ", file.content_hash());
  for (const double weight : section_.weights) text += fmt::format("{} ", weight);
  text += fmt::format("{} {} {} {} {} {} {}", section_.sequence_length, section_.packing, section_.shuffle,
                      section_.seed, name(section_.too_long), section_.holdout_fraction, int(part_));
  return hash64(std::as_bytes(std::span(text)));
}

std::string TrainData::summary() {
  std::string text;
  for (const DocumentStore& file : *files_) text += file.summary() + '\n';
  if (num_held_out_ > 0) text += fmt::format("{} held out for validation\n", counted(num_held_out_, "document"));
  if (num_too_long_ > 0) {
    text += fmt::format("{} longer than {} tokens (too_long: {})", counted(num_too_long_, "document"),
                        section_.sequence_length, name(section_.too_long));
    text += num_cut_tokens_ > 0 ? fmt::format(", {} tokens left out\n", num_cut_tokens_) : "\n";
  }
  const std::int64_t count = sequences_in_epoch(0);
  std::int64_t num_tokens = 0;
  for (const std::int64_t sample : order_) num_tokens += samples_[std::size_t(sample)].num_tokens;
  const double capacity = double(count) * double(section_.sequence_length);
  text += fmt::format("{} of at most {} tokens in an epoch, {:.1f} % full\n", counted(count, "sequence"),
                      section_.sequence_length, 100.0 * double(num_tokens) / capacity);
  return text;
}

std::uint64_t sample_ids_hash(std::span<const SampleId> ids) {
  Hash64 hash;
  for (const SampleId& id : ids) {
    const std::array numbers{std::int64_t(id.file), id.document, id.first_token};
    hash.update(std::as_bytes(std::span(numbers)));
  }
  return hash.digest();
}

}  // namespace m2
