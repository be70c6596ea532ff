// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/convert/merge.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include "checkpoint/convert/model_source.hpp"
#include "checkpoint/formats/peft_adapter.hpp"
#include "core/error.hpp"
#include "core/host_copy.hpp"
#include "kernels/weights/store_weight.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"

namespace m2 {
namespace {

constexpr int kProbeTokens = 16;

// The base with the tensors that changed, which lie in the memory of a model.
class MergedSource final : public TensorSource {
 public:
  MergedSource(const TensorSource& base, MiniMaxM2ForCausalLM model, const std::set<std::string>& merged)
      : TensorSource(base.path(), base.config()),
        base_(base),
        model_(std::move(model)),
        memory_(model_.config(), model_.base_parameters(), model_.exec()) {
    std::vector<StoredTensor> tensors;
    for (const StoredTensor& tensor : base.tensors()) {
      if (tensor.is_scale && merged_.contains(tensors.back().name)) continue;  // came with its weight
      if (!merged.contains(tensor.name)) {
        tensors.push_back(tensor);
        continue;
      }
      const StoredTensor& changed = *memory_.find(tensor.name);
      merged_.insert(tensor.name);
      append_with_scales(tensors, changed);
      if (const StoredTensor* const scales = memory_.scales(changed)) merged_.insert(scales->name);
    }
    set_tensors(std::move(tensors));
  }

  std::optional<std::string> text(const TextFile& file) const override { return base_.text(file); }

  void read(const StoredTensor& tensor, std::uint64_t byte_offset, std::span<std::byte> out) const override {
    if (merged_.contains(tensor.name)) return memory_.read(*memory_.find(tensor.name), byte_offset, out);
    base_.read(*base_.find(tensor.name), byte_offset, out);
  }

 private:
  const TensorSource& base_;
  MiniMaxM2ForCausalLM model_;
  ModelSource memory_;
  std::set<std::string> merged_;  // and their scales
};

// Tokens spread over the vocabulary.
std::vector<float> probe_logits(MiniMaxM2ForCausalLM& model) {
  InputIds ids{.num_sequences = 1, .length = kProbeTokens, .ids = {}};
  const std::int64_t vocabulary = model.config().vocab_size;
  for (int i = 0; i < kProbeTokens; ++i) ids.ids.push_back(int((i + 1) * vocabulary / (kProbeTokens + 1)));
  return to_host(model.exec(), model.forward(ids).logits_BNV, "m2::merge: the probe's logits for the host");
}

double mean_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::abs(double(a[i]) - double(b[i]));
  return sum / double(a.size());
}

// Of the mean magnitude of a logit. A weight is rounded once by half a unit of its dtype; the errors of a layer's
// outputs grow along the layers. A half that is missing or scrambled changes logits by what the adapter does.
double bound_of(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return 1e-4;
    case DType::bfloat16:
      return 0.05;
    default:
      return 0.25;
  }
}

// Folds the adapters into their weights; the least exact dtype of those.
DType fold_in(MiniMaxM2ForCausalLM& model, std::set<std::string>& merged) {
  DType least = DType::float32;
  for (const Parameter& base : model.base_parameters()) {
    if (base.adapter == nullptr || !base.adapter->exists()) continue;
    const Weight& weight = *base.weight;
    const View3D<float> values(Kokkos::view_alloc(model.exec(), Kokkos::WithoutInitializing, "m2::merged"),
                               weight.num_matrices(), weight.num_rows(), weight.num_columns());
    load_weight(model.exec(), weight, values);
    low_rank_merge(model.exec(), *base.adapter, values);
    store_weight(model.exec(), values, weight);
    model.exec().fence("m2::merge: the values in float32 end here");
    *base.adapter = {};
    merged.insert(base.name());
    least = std::max(least, weight.dtype());  // in the order of the enumeration: float32, bfloat16, FP8
  }
  return least;
}

}  // namespace

MergedCheckpoint merge_adapter(const TensorSource& base, const std::string& adapter, const ExecSpace& exec) {
  const PeftAdapter peft(adapter, base.config());
  // In float32, where every weight keeps the dtype it is stored in.
  MiniMaxM2ForCausalLM model = MiniMaxM2ForCausalLM::from_pretrained(
      base.path(), {.backend = {}, .moe_config = {}, .moe_overrides = {}, .dtype = DType::float32, .exec = exec});
  const std::vector<float> before = probe_logits(model);
  model.add_adapters(peft.adapters());
  peft.load(model);
  const std::vector<float> expected = probe_logits(model);
  std::set<std::string> merged;
  const DType dtype = fold_in(model, merged);
  const std::vector<float> actual = probe_logits(model);
  const std::vector<float> nothing(expected.size());
  const MergeProbe probe{.mean_difference = mean_difference(actual, expected),
                         .mean_change = mean_difference(expected, before),
                         .bound = bound_of(dtype) * mean_difference(expected, nothing)};
  M2_REQUIRE(
      probe.mean_difference <= probe.bound,
      "{}: logits of the merged weights differ by {:.3g} from those of base and adapter, expected at most {:.3g}",
      adapter, probe.mean_difference, probe.bound);
  return {.source = std::make_unique<MergedSource>(base, std::move(model), merged), .probe = probe};
}

}  // namespace m2
