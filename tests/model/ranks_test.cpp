// SPDX-License-Identifier: Apache-2.0
// Experts split over ranks: every bit is that of one rank, and no byte more than needed crosses.
#include <gmock/gmock.h>

#include <array>
#include <filesystem>
#include <numeric>
#include <random>
#include <set>

#include "model/fixture.hpp"
#include "support/ranks.hpp"

namespace m2::test {
namespace {

struct Case {
  const char* checkpoint;
  DType dtype;
};

// Each expert on one to three ranks, each rank with one at least; the same on all ranks.
ExpertPlacement random_placement(const MiniMaxM2Config& config, int num_ranks) {
  std::mt19937_64 random(num_ranks);
  std::vector<std::vector<std::vector<int>>> layers(config.num_hidden_layers);
  for (auto& layer : layers) {
    for (int e = 0; e < config.num_local_experts; ++e) {
      std::set<int> ranks{e < num_ranks ? num_ranks - 1 - e : int(random() % num_ranks)};
      while (random() % 3 == 0) ranks.insert(int(random() % num_ranks));
      layer.emplace_back(ranks.begin(), ranks.end());
    }
  }
  return ExpertPlacement(layers, config.num_hidden_layers, config.num_local_experts, num_ranks, "test");
}

class Ranks : public ::testing::TestWithParam<Case> {
 protected:
  const Fixture fixture{GetParam().checkpoint};
  MiniMaxM2ForCausalLM alone = fixture.model(GetParam().dtype);
  const InputIds input = fixture.input_ids();
  const int rank = session().rank(), size = session().size();

  ExpertParallel even_parallel() const {
    const MiniMaxM2Config& config = alone.config();
    return {.group = session().world().split(0),
            .placement = ExpertPlacement::even(config.num_hidden_layers, config.num_local_experts, size)};
  }

  MiniMaxM2ForCausalLM split_model(const std::shared_ptr<ExpertParallel>& parallel) const {
    ModelOptions options;
    options.backend.dispatcher = DispatcherBackend::all_to_all;
    options.dtype = GetParam().dtype;
    options.exec = exec();
    options.expert_parallel = parallel;
    return MiniMaxM2ForCausalLM::from_pretrained(fixture.folder, options);
  }

  // Another one on each rank; the last of several has no tokens at all.
  InputIds own_input() const {
    if (size > 1 && rank == size - 1) return {.num_sequences = 0, .length = 0, .ids = {}};
    const int length = input.length - rank;
    const auto begin = input.ids.begin() + rank % input.num_sequences * input.length;
    return {.num_sequences = 1, .length = length, .ids = {begin, begin + length}};
  }

  static std::vector<float> logits(MiniMaxM2ForCausalLM& model, const InputIds& ids) {
    return to_host(model.forward(ids).logits_BNV);
  }

  void expect_bits_of_one_rank(const ExpertParallel& parallel) {
    MiniMaxM2ForCausalLM split = split_model(std::make_shared<ExpertParallel>(parallel));
    EXPECT_TRUE(same_bits(logits(split, own_input()), logits(alone, own_input())));
  }
};

INSTANTIATE_TEST_SUITE_P(Checkpoints, Ranks,
                         ::testing::Values(Case{"tiny-f32", DType::float32}, Case{"tiny-bf16", DType::bfloat16},
                                           Case{"tiny-fp8", DType::bfloat16}, Case{"tiny-fp8", DType::float32}),
                         [](const auto& parameter) {
                           std::string label = std::string(parameter.param.checkpoint) + "_as_" +
                                               std::string(name(parameter.param.dtype));
                           std::ranges::replace(label, '-', '_');
                           return label;
                         });

TEST_P(Ranks, GiveTheBitsOfOne) { expect_bits_of_one_rank(even_parallel()); }

TEST_P(Ranks, HoldOnlyTheirExperts) {
  const auto parallel = std::make_shared<ExpertParallel>(even_parallel());
  const MiniMaxM2ForCausalLM split = split_model(parallel);
  const std::vector<int> experts = parallel->placement.experts_of(0, rank);
  const Weight& stack = split.model.layers[0].mlp.experts.down;
  ASSERT_EQ(stack.num_matrices(), std::ssize(experts));
  EXPECT_EQ(stack.bytes() / stack.num_matrices(),
            alone.model.layers[0].mlp.experts.down.bytes() / alone.config().num_local_experts);
}

TEST_P(Ranks, ReplicasAndUnevenPlacementsChangeNoBit) {
  ExpertParallel parallel = even_parallel();
  parallel.placement = random_placement(alone.config(), size);
  expect_bits_of_one_rank(parallel);
}

TEST_P(Ranks, TheSizeOfAnExchangeAndOverlapChangeNoBit) {
  for (const std::int64_t tokens : {1, 3, 64}) {
    for (const bool overlap : {false, true}) {
      SCOPED_TRACE(testing::Message() << tokens << " tokens" << (overlap ? ", overlapping" : ""));
      ExpertParallel parallel = even_parallel();
      parallel.tokens_per_exchange = tokens;
      parallel.overlap = overlap;
      expect_bits_of_one_rank(parallel);
    }
  }
}

// A sum of K answers in another order, each partial sum rounded to the storage type before it returns: K roundings of
// a layer's answer. Through three layers and the head errors grow by no more than the logits' own relative accuracy
// against the reference (golden_test), which has as many roundings a layer: 2e-5 in float32, KL 1e-3 in bfloat16.
TEST_P(Ranks, AnswersSummedBeforeTheyReturnAreClose) {
  ExpertParallel parallel = even_parallel();
  parallel.reduce_answers = true;
  const auto shared = std::make_shared<ExpertParallel>(parallel);
  MiniMaxM2ForCausalLM split = split_model(shared);
  const std::vector<float> found = logits(split, own_input()), expected = logits(alone, own_input());
  EXPECT_TRUE(same_bits(found, logits(split, own_input()))) << "the same layout gives the same bits";
  if (expected.empty()) return;
  if (GetParam().dtype == DType::float32) {
    EXPECT_TRUE(all_close(found, expected, 2e-5 * max_abs(expected)));
  } else {
    EXPECT_LT(mean_kl(expected, found, alone.config().vocab_size), 1e-3);
  }
}

// Exact: one answer for each token-expert slot; reduced: one for each row, to where the row came from.
TEST_P(Ranks, ReducedAnswersAreAsManyAsRows) {
  ExpertParallel parallel = even_parallel();
  const auto exact = std::make_shared<ExpertParallel>(parallel);
  parallel.reduce_answers = true;
  const auto reduced = std::make_shared<ExpertParallel>(parallel);
  MiniMaxM2ForCausalLM exact_model = split_model(exact), reduced_model = split_model(reduced);
  exact_model.forward(own_input());
  reduced_model.forward(own_input());
  const auto over_ranks = [](std::int64_t ExchangeTraffic::* counter, const ExpertParallel& of) {
    const std::array<std::int64_t, 1> own{of.traffic.*counter};
    const std::vector<std::int64_t> all = session().world().all_gather_values(own);
    return std::accumulate(all.begin(), all.end(), std::int64_t{0});
  };
  EXPECT_EQ(over_ranks(&ExchangeTraffic::answers_sent, *reduced), over_ranks(&ExchangeTraffic::rows_sent, *reduced));
  EXPECT_EQ(over_ranks(&ExchangeTraffic::answers_sent, *exact) * 12, over_ranks(&ExchangeTraffic::slot_bytes, *exact));
}

TEST_P(Ranks, NoRankSavesHalfAModel) {
  if (size == 1) GTEST_SKIP() << "needs several ranks";
  const MiniMaxM2ForCausalLM split = split_model(std::make_shared<ExpertParallel>(even_parallel()));
  const std::string folder = ::testing::TempDir() + "m2_half_a_model";
  EXPECT_THAT([&] { split.save_pretrained(folder); },
              ::testing::ThrowsMessage<Error>(::testing::HasSubstr("save_pretrained: the experts are split over")));
  EXPECT_FALSE(std::filesystem::exists(folder));
}

// Every expert on every rank, rank 0's copy first: rank r's token t goes to copy (t + r) % N.
ExpertPlacement all_everywhere(const MiniMaxM2Config& config, int num_ranks) {
  std::vector<int> ranks(num_ranks);
  std::iota(ranks.begin(), ranks.end(), 0);
  const std::vector<std::vector<int>> layer(config.num_local_experts, ranks);
  return ExpertPlacement(std::vector(config.num_hidden_layers, layer), config.num_hidden_layers,
                         config.num_local_experts, num_ranks, "test");
}

// What a rank sends for a pass over the fixture's tokens, and what comes back.
class Traffic : public ::testing::Test {
 protected:
  const Fixture fixture{"tiny-f32"};
  const InputIds input = fixture.input_ids();
  const MiniMaxM2Config config = fixture.model(DType::float32).config();
  const int rank = session().rank(), size = session().size();

  // The counters of this rank after a pass over `ids`.
  ExchangeTraffic traffic_of(const ExpertPlacement& placement, const InputIds& ids) const {
    const auto parallel =
        std::make_shared<ExpertParallel>(ExpertParallel{.group = session().world().split(0), .placement = placement});
    ModelOptions options{.dtype = DType::float32, .exec = exec(), .expert_parallel = parallel};
    options.backend.dispatcher = DispatcherBackend::all_to_all;
    MiniMaxM2ForCausalLM model = MiniMaxM2ForCausalLM::from_pretrained(fixture.folder, options);
    model.forward(ids);
    return parallel->traffic;
  }

  // From the reference's choice of experts: each token crosses once to each other rank that has one of them, and each
  // of its experts there answers. All ranks pass the same tokens.
  void expect_least(const ExpertPlacement& placement) const {
    std::int64_t rows = 0, slots = 0, answers = 0;
    const int top_k = config.num_experts_per_tok;
    for (int layer = 0; layer < config.num_hidden_layers; ++layer) {
      const std::vector<int> chosen = fixture.ints("topk_index." + std::to_string(layer));
      for (int from = 0; from < size; ++from) {
        for (std::size_t i = 0; i < chosen.size(); i += top_k) {
          std::set<int> ranks;
          for (int k = 0; k < top_k; ++k) {
            const std::vector<int>& copies = placement.ranks_of(layer)[chosen[i + k]];
            const int to = copies[(i / top_k + from) % copies.size()];
            if (to == from) continue;
            answers += to == rank;
            if (from != rank) continue;
            ranks.insert(to);
            ++slots;
          }
          rows += std::ssize(ranks);
        }
      }
    }
    const ExchangeTraffic found = traffic_of(placement, input);
    const std::int64_t row_bytes = config.hidden_size * 4;
    EXPECT_EQ(found.rows_sent, rows);
    EXPECT_EQ(found.row_bytes, rows * row_bytes);
    EXPECT_EQ(found.slot_bytes, slots * 12);
    EXPECT_EQ(found.answers_sent, answers);
    EXPECT_EQ(found.answer_bytes, answers * row_bytes);
    EXPECT_EQ(found.token_layers, std::ssize(input.ids) * config.num_hidden_layers);
  }
};

TEST_F(Traffic, IsTheLeastThatIsNeeded) {
  expect_least(ExpertPlacement::even(config.num_hidden_layers, config.num_local_experts, size));
}

TEST_F(Traffic, IsTheLeastWithReplicas) { expect_least(random_placement(config, size)); }

// As in decoding: copies of each expert are everywhere, and each rank's one token takes the copy that is its own turn.
TEST_F(Traffic, PassesOfOneTokenUseAllReplicas) {
  const InputIds one{.num_sequences = 1, .length = 1, .ids = {input.ids[0]}};
  EXPECT_EQ(traffic_of(all_everywhere(config, size), one).rows_sent, 0);
}

// Matrix i of a stack, as it is stored.
template <class W>
std::vector<float> stored(const Weight& stack, int i) {
  const Weight matrix = stack.matrix(i);
  return to_host(View2D<const W>(matrix.values<W>().data(), matrix.num_rows(), matrix.num_columns()));
}

template <class W>
void expect_same_experts(const MiniMaxM2Config& config) {
  const auto whole = MiniMaxM2ForCausalLM::from_config(config, {.dtype = DType::bfloat16, .exec = exec()});
  const auto parallel = std::make_shared<ExpertParallel>(
      ExpertParallel{.group = session().world().split(0), .placement = random_placement(config, session().size())});
  ModelOptions options{.dtype = DType::bfloat16, .exec = exec(), .expert_parallel = parallel};
  options.backend.dispatcher = DispatcherBackend::all_to_all;
  const auto split = MiniMaxM2ForCausalLM::from_config(config, options);
  for (int layer = 0; layer < config.num_hidden_layers; ++layer) {
    const std::vector<int> experts = parallel->placement.experts_of(layer, session().rank());
    const Weight &all = whole.model.layers[layer].mlp.experts.gate_up,
                 &own = split.model.layers[layer].mlp.experts.gate_up;
    ASSERT_EQ(own.num_matrices(), std::ssize(experts));
    for (int i = 0; i < std::ssize(experts); ++i) {
      EXPECT_TRUE(same_bits(stored<W>(own, i), stored<W>(all, experts[i])));
      EXPECT_TRUE(same_bits(to_host(own.matrix(i).scale_inv()), to_host(all.matrix(experts[i]).scale_inv())));
    }
  }
}

TEST(RandomWeights, AreTheSameWhereverAnExpertLies) {
  MiniMaxM2Config config = Fixture("tiny-bf16").model(DType::bfloat16).config();
  expect_same_experts<Bf16>(config);
  config.quantization.emplace();
  expect_same_experts<Fp8E4M3>(config);
}

}  // namespace
}  // namespace m2::test
