// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/forward_options.hpp"
#include "model/gradient_units.hpp"
#include "model/minimax_m2_model.hpp"
#include "model/training_sequences.hpp"

namespace m2 {

/// How a model is made from a configuration.
struct ModelOptions {
  BackendConfig backend = {};
  std::optional<MoEConfig> moe_config = {};        ///< all of it, or
  std::optional<MoEOverrides> moe_overrides = {};  ///< changes to the defaults; both is an error
  std::optional<DType> dtype = {};                 ///< of activations: float32 or bfloat16; unset: the configuration's
  ExecSpace exec = {};                             ///< the instance all work runs on
  /// The experts split over ranks; unset: all here. forward() and step() are then collective.
  std::shared_ptr<ExpertParallel> expert_parallel = {};
};

/// An adapter beside the weight of a base parameter.
struct AdapterSpec {
  std::string base;  ///< the parameter's name
  int rank = 0;
  double alpha = 0.0;  ///< what it adds is scaled by alpha / rank

  bool operator==(const AdapterSpec&) const = default;
};

/// How a model is trained.
struct TrainingOptions {
  /// What is not saved in the forward pass, of each layer or, with one element, of all. Changes no bit.
  std::vector<Recompute> recompute{Recompute::none};
  /// Which parameters get gradients; unset: all that can, or, where there are adapters, these alone.
  std::function<bool(const ParameterSchema&)> is_trained = {};
};

struct TrainingState;

/// MiniMax-M2 with its language-model head. The names are those of NeMo AutoModel's class.
class MiniMaxM2ForCausalLM {
 public:
  /// A model with random weights (initialize_weights with weight_dtype() and seed 0). Throws Error for what is not
  /// supported.
  static MiniMaxM2ForCausalLM from_config(const MiniMaxM2Config& config, const ModelOptions& options = {});

  /// Reads a Hugging Face folder or an HDF5 file of m2-convert. Weights keep the dtype they are stored in, but for
  /// float32 ones of a bfloat16 model. Throws Error when the checkpoint is damaged, incomplete, or larger than the
  /// memory. Defined in the library KokkosM2::checkpoint.
  static MiniMaxM2ForCausalLM from_pretrained(const std::string& path, const ModelOptions& options = {});

  /// A model without memory for its parameters: for whoever fills parameters() (from_pretrained does). Throws Error for
  /// what is not supported.
  MiniMaxM2ForCausalLM(const MiniMaxM2Config& config, const ModelOptions& options);

  /// Logits of every position, or of those asked for, (B, N, V) float32. Throws Error for ids outside the vocabulary,
  /// positions from max_position_embeddings on, and arrays that do not fit the ids.
  CausalLMOutput forward(const InputIds& input_ids, const ForwardOptions& options = {});

  /// One pass over packed tokens, for schedulers: logits (rows, V) of the tokens at `logit_rows`. Keys and values go to
  /// `cache`, where room must be reserved. The View is valid until the next call.
  View2D<const float> step(const PackedTokens& tokens, std::span<const int> logit_rows, KVCache& cache);

  /// Begins training: gives every parameter that `options` names memory for its gradient, all zero. Throws Error where
  /// the experts are split over ranks. Weights stay as they lie.
  void train(const TrainingOptions& options = {});
  /// The loss of `sequences`, a micro-batch, in training mode: the forward pass of inference, with the same bits, which
  /// keeps what backward() reads. Gradients are those of loss_scale times the sum of -ln p over the labels: with 1 /
  /// (labels of all micro-batches of a step), of the mean.
  TrainingLoss forward(const TrainingSequences& sequences, float loss_scale);
  /// The loss alone, by the same arithmetic: no gradient changes.
  TrainingLoss evaluate(const TrainingSequences& sequences);
  /// Adds the gradients of the forward() before it to those of the parameters. `auxiliary_share`: 1 / micro-batches of
  /// the step, a factor on moe.aux_loss_coeff, which is a mean over them.
  void backward(float auxiliary_share = 1.0f);
  /// Before the micro-batches of a step but for the last, and before the last: who waits for complete gradients
  /// (gradient_units().on_complete()) is called in the last backward() only. NeMo AutoModel's names.
  void prepare_for_grad_accumulation() { gradient_units_.prepare_for_grad_accumulation(); }
  void prepare_for_final_backward() { gradient_units_.prepare_for_final_backward(); }
  GradientUnits& gradient_units() { return gradient_units_; }
  /// Sets all gradients to zero.
  void zero_gradients();
  /// Bytes of the buffers of training passes over at most so many tokens and sequences.
  std::int64_t training_bytes(std::span<const Recompute> recompute, std::int64_t num_tokens, int num_sequences) const;

  /// Allocates the buffers for steps of at most these sizes, once; without it they grow as needed. Where the experts
  /// are split over ranks and these pass different numbers of tokens, it must be called with the largest.
  void reserve(std::int64_t max_tokens, std::int64_t max_logit_rows);
  /// What reserve() allocates. Throws Error as require_providers() does.
  std::int64_t workspace_bytes(std::int64_t max_tokens, std::int64_t max_logit_rows) const;

  /// Throws Error, which names the deck's key, if a provider of the backend does not multiply a weight of the dtype
  /// that the parameters now have. The first pass does, too.
  void require_providers() const;

  /// An empty cache for this model, with room for `max_sequences` sequences of `max_length` positions.
  KVCache make_cache(int max_sequences, std::int64_t max_length) const;

  Weight& get_input_embeddings() { return model.embed_tokens; }
  /// May lie interleaved: deinterleave_weights() before its values are read.
  Weight& get_output_embeddings() { return lm_head; }
  /// Throws Error when the shape is not (vocab_size, hidden_size) or the dtype is FP8.
  void set_input_embeddings(const Weight& weight);
  void set_output_embeddings(const Weight& weight);

  /// Allocates every parameter, as a checkpoint of `dtype` is held (held_dtype() says how), and fills it with random
  /// numbers of NeMo AutoModel's distributions, the same for any number of threads and ranks. float8_e4m3fn: blocks
  /// with scales where a released checkpoint has them, dtype() elsewhere; the router is float32.
  void initialize_weights(DType dtype, std::uint64_t seed);
  /// What from_config() takes: float8_e4m3fn where the configuration is quantised, else dtype().
  DType weight_dtype() const { return config().quantization ? DType::float8_e4m3fn : dtype_; }
  /// Fills the parameters there are, in the dtypes they have.
  void init_weights(std::uint64_t seed);

  /// Interleaves the rows of matrices for the processor's vector units, in panels, where they are: what from_config(),
  /// from_pretrained() and initialize_weights() end with. Faster, other last bits. deinterleave_weights() lays them out
  /// as rows again, for whoever wants to read or change values. Copies of a model share the weights and how they lie.
  void interleave_weights();
  void deinterleave_weights();

  /// Writes a Hugging Face folder with the weights as they are, without adapters. Defined in the library
  /// KokkosM2::checkpoint.
  void save_pretrained(const std::string& folder) const;

  /// The base's in the order of ParameterSchemas, then A and B of each adapter in the order of their bases.
  std::vector<Parameter> parameters();
  /// Those that every model of the configuration has, and checkpoints hold.
  std::vector<Parameter> base_parameters();
  /// Those of adapters alone.
  std::vector<Parameter> adapter_parameters();

  /// Puts adapters beside weights, without memory: for whoever allocates and fills adapter_parameters(). Buffers that
  /// were reserved must be reserved again, and training begin after it. Throws Error for a base that is no parameter,
  /// takes no adapter or has one, and for a rank below 1.
  void add_adapters(std::span<const AdapterSpec> adapters);
  /// Those there are, in the order of their bases.
  std::vector<AdapterSpec> adapters();
  /// Gives adapters memory and the numbers of training's start: A random, B 0, so that nothing changes yet.
  void initialize_adapters(std::uint64_t seed);

  /// logits = x lm_head^T, with what its adapter adds.
  template <class T>
  void compute_logits(View2D<const T> x_ND, const HeadWorkspace<T>& workspace, View2D<float> logits_NV) const;

  const MiniMaxM2Config& config() const { return model.config().architecture; }
  /// resolved().
  const BackendConfig& backend() const { return model.config().backend; }
  const ExecSpace& exec() const { return exec_; }
  /// Of the activations.
  DType dtype() const { return dtype_; }

  MiniMaxM2Model model;
  Weight lm_head;  ///< (V, D)
  View3D<float> lm_head_grad;
  LowRankAdapter lm_head_lora;

 private:
  MiniMaxM2ForCausalLM(std::shared_ptr<ModelConfig> config, const ModelOptions& options);

  template <class T>
  CausalLMOutput forward_as(const InputIds& input_ids, const ForwardOptions& options);
  template <class T>
  View2D<const float> step_as(const PackedTokens& tokens, std::span<const int> logit_rows, KVCache& cache);
  template <class T>
  std::int64_t step_bytes(std::int64_t num_tokens, std::int64_t num_logit_rows) const;
  void require_ready() const;
  void grow_workspace(std::int64_t bytes);
  std::int64_t most_tokens_of_ranks(std::int64_t num_tokens) const;

  std::shared_ptr<ModelConfig> config_;  // the layers', who may not change it
  DType dtype_;
  ExecSpace exec_;
  Workspace workspace_;
  std::shared_ptr<TrainingState> training_;
  GradientUnits gradient_units_;
};

}  // namespace m2
