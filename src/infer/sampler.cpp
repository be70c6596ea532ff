// SPDX-License-Identifier: Apache-2.0
#include "infer/sampler.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "core/error.hpp"
#include "kernels/common/math.hpp"
#include "kernels/common/philox.hpp"

namespace m2 {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr int kNumLanes = 16;  // independent chains of a scan, so that it becomes vector code

// The largest score; NaN if there is one among the scores.
float largest_or_nan(std::span<const float> scores) {
  std::array<float, kNumLanes> largest;
  std::array<std::uint32_t, kNumLanes> nans{};
  largest.fill(kNever);
  const auto offer = [&](float score, std::size_t lane) {
    largest[lane] = score > largest[lane] ? score : largest[lane];
    nans[lane] |= std::uint32_t(score != score);
  };
  std::size_t i = 0;
  for (; i + kNumLanes <= scores.size(); i += kNumLanes) {
    for (std::size_t lane = 0; lane < kNumLanes; ++lane) offer(scores[i + lane], lane);
  }
  for (; i < scores.size(); ++i) offer(scores[i], 0);
  if (std::ranges::any_of(nans, [](std::uint32_t nan) { return nan != 0; })) {
    return std::numeric_limits<float>::quiet_NaN();
  }
  return std::ranges::max(largest);
}

// The sum of exp(score), in an order that depends on the number of scores only.
double sum_of_exponentials(std::span<const float> scores) {
  std::array<double, kNumLanes> sums{};
  std::size_t i = 0;
  for (; i + kNumLanes <= scores.size(); i += kNumLanes) {
    for (std::size_t lane = 0; lane < kNumLanes; ++lane) sums[lane] += double(exponential(scores[i + lane]));
  }
  for (; i < scores.size(); ++i) sums[0] += double(exponential(scores[i]));
  double total = 0.0;
  for (const double sum : sums) total += sum;
  return total;
}

// Uniform in [0, 1), 53 bits.
double uniform_number(std::uint64_t seed, std::uint64_t identity, std::uint64_t step) {
  const PhiloxBlock counter{
      {std::uint32_t(identity), std::uint32_t(identity >> 32), std::uint32_t(step), std::uint32_t(step >> 32)}};
  const PhiloxBlock block = philox(counter, std::uint32_t(seed), std::uint32_t(seed >> 32));
  const std::uint64_t bits = std::uint64_t(block.word[0]) << 32 | block.word[1];
  return double(bits >> 11) * 0x1p-53;
}

// Subtracting the largest first changes no probability, and keeps a tiny temperature from overflowing.
float scaled(float score, float largest, float temperature) { return (score - largest) / temperature; }

// The count-th largest score; `selection` is scratch. It never holds more than a few times `count` scores: those that
// were among the `count` largest when they were met.
float threshold_of(std::span<const float> scores, std::size_t count, std::vector<float>& selection) {
  const std::size_t capacity = std::max<std::size_t>(4 * count, 1024);
  const auto shrink = [&] {
    std::ranges::nth_element(selection, selection.begin() + std::ptrdiff_t(count - 1), std::greater<>());
    selection.resize(count);
    return selection.back();
  };
  selection.clear();
  float threshold = kNever;
  for (const float score : scores) {
    if (!(score > threshold)) continue;
    selection.push_back(score);
    if (selection.size() == capacity) threshold = shrink();
  }
  return selection.size() < count ? kNever : shrink();
}

}  // namespace

Sampler::Sampler(const SamplingOptions& options, std::vector<int> never_V)
    : options_(options), never_(std::move(never_V)) {}

int Sampler::sample(std::span<const float> logits_V, std::span<const int> history, std::uint64_t identity,
                    std::uint64_t step) {
  load(logits_V, history);
  const float largest = largest_or_nan(scores_);
  M2_REQUIRE(
      largest > kNever && largest <= std::numeric_limits<float>::max(),
      "prompt {}: the largest logit after {} tokens is {}: the checkpoint is damaged or its dtype too narrow; try "
      "`m2-convert verify`, or model.dtype=float32",
      identity, history.size(), largest);
  if (options_.temperature == 0.0) return int(std::ranges::find(scores_, largest) - scores_.begin());
  const float divisor = temperature();
  for (float& score : scores_) score = scaled(score, largest, divisor);
  if (limits_k(scores_.size())) {
    keep_likeliest(std::size_t(options_.top_k));
    if (options_.top_p < 1.0) cut_to_top_p(total_weight());
  } else if (options_.top_p < 1.0) {
    keep_top_p();
  } else {
    keep_all();
  }
  return draw(identity, step);
}

int Sampler::num_likeliest(int vocab_size) const {
  if (options_.repetition_penalty != 1.0) return 0;
  if (options_.temperature == 0.0) return 1;
  const bool is_few = options_.top_k <= kMaxDeviceTopK && limits_k(std::size_t(vocab_size));
  return is_few ? options_.top_k + 1 : 0;
}

std::optional<int> Sampler::choose(std::span<const TokenScore> likeliest, std::uint64_t identity, std::uint64_t step) {
  if (!std::isfinite(likeliest[0].score)) return std::nullopt;
  if (options_.temperature == 0.0) return likeliest[0].token;
  if (!keep_top_k(likeliest)) return std::nullopt;
  if (options_.top_p < 1.0) cut_to_top_p(total_weight());
  return draw(identity, step);
}

// Penalised scores of every token; -infinity for those never chosen.
void Sampler::load(std::span<const float> logits_V, std::span<const int> history) {
  scores_.assign(logits_V.begin(), logits_V.end());
  if (options_.repetition_penalty != 1.0) {
    const auto penalty = float(options_.repetition_penalty);
    penalised_.assign(scores_.size(), false);
    for (const int token : history) {
      if (penalised_[token]) continue;
      penalised_[token] = true;
      scores_[token] = scores_[token] < 0.0f ? scores_[token] * penalty : scores_[token] / penalty;
    }
  }
  for (const int token : never_) scores_[token] = kNever;
}

bool Sampler::limits_k(std::size_t vocab_size) const {
  return options_.top_k > 0 && std::size_t(options_.top_k) < vocab_size;
}

// No smaller than the smallest normal number: dividing by it gives no NaN.
float Sampler::temperature() const { return std::max(float(options_.temperature), std::numeric_limits<float>::min()); }

void Sampler::keep_all() {
  candidates_.clear();
  for (std::size_t token = 0; token < scores_.size(); ++token) {
    if (scores_[token] > kNever) candidates_.push_back({scores_[token], int(token)});
  }
}

void Sampler::keep_likeliest(std::size_t count) {
  const float threshold = threshold_of(scores_, count, selection_);
  candidates_.clear();
  for (std::size_t token = 0; token < scores_.size(); ++token) {
    if (scores_[token] >= threshold && scores_[token] > kNever) candidates_.push_back({scores_[token], int(token)});
  }
  sort_candidates();
}

// The same from the top_k + 1 likeliest: false if tokens beyond them may be as likely as the top_k-th. Scaling keeps
// the order of scores, but may make two of them equal.
bool Sampler::keep_top_k(std::span<const TokenScore> likeliest) {
  const float largest = likeliest[0].score, divisor = temperature();
  candidates_.clear();
  for (const TokenScore& each : likeliest) {
    const float score = scaled(each.score, largest, divisor);
    if (score > kNever) candidates_.push_back({score, each.token});
  }
  if (candidates_.size() == likeliest.size()) {
    if (candidates_.back().score == candidates_[candidates_.size() - 2].score) return false;
    candidates_.pop_back();
  }
  sort_candidates();
  return true;
}

void Sampler::sort_candidates() {
  std::ranges::sort(candidates_, [](const TokenScore& a, const TokenScore& b) {
    return a.score > b.score || (a.score == b.score && a.token < b.token);
  });
}

// The nucleus is small as a rule: looks for it among the likeliest few, then among more and more.
void Sampler::keep_top_p() {
  const double total = sum_of_exponentials(scores_);
  for (std::size_t count = 64;; count *= 8) {
    keep_likeliest(std::min(count, scores_.size()));
    if (cut_to_top_p(total) || count >= scores_.size()) return;
  }
}

// Keeps each candidate unless those before it make up top_p of `total` already. Whether that point was reached.
bool Sampler::cut_to_top_p(double total) {
  double before = 0.0;
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    if (i > 0 && before >= options_.top_p * total) {
      candidates_.resize(i);
      return true;
    }
    before += double(exponential(candidates_[i].score));
  }
  return before >= options_.top_p * total;
}

double Sampler::total_weight() const {
  double total = 0.0;
  for (const TokenScore& candidate : candidates_) total += double(exponential(candidate.score));
  return total;
}

int Sampler::draw(std::uint64_t identity, std::uint64_t step) {
  std::erase_if(candidates_,
                [&](const TokenScore& candidate) { return double(exponential(candidate.score)) < options_.min_p; });
  const double total = total_weight(), aim = uniform_number(options_.seed, identity, step) * total;
  double sum = 0.0;
  for (const TokenScore& candidate : candidates_) {
    sum += double(exponential(candidate.score));
    if (sum > aim) return candidate.token;
  }
  return candidates_.back().token;  // `aim` was rounded up
}

}  // namespace m2
