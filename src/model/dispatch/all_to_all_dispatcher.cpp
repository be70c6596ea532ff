// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <span>

#include "core/host_copy.hpp"
#include "kernels/moe/permute.hpp"
#include "model/dispatch/token_dispatcher.hpp"

namespace m2 {
namespace {

using Counts = std::vector<std::int64_t>;

std::int64_t sum(const Counts& counts) { return std::accumulate(counts.begin(), counts.end(), std::int64_t{0}); }

// What is counted by its first entries, on the host: element r is first[r + 1] - first[r].
Counts counts_of(const ExecSpace& exec, const View1D<int>& first_N1) {
  const std::vector<int> first = to_host(exec, first_N1, "m2::dispatch: how much goes where");
  Counts counts;
  for (std::size_t r = 0; r + 1 < first.size(); ++r) counts.push_back(first[r + 1] - first[r]);
  return counts;
}

void copy_offsets(const ExecSpace& exec, const Counts& counts, const View1D<int>& first_N1) {
  std::vector<int> first{0};
  for (const std::int64_t count : counts) first.push_back(first.back() + int(count));
  copy_to_device(exec, first, first_N1);
  exec.fence("m2::dispatch: the host's offsets end here");
}

// One exchange: tokens [first, first + count) of this rank and those that other ranks send at the same time.
template <class T>
struct Exchange {
  Counts sent_rows, sent_pairs, arrived_rows, arrived_pairs;
  std::unique_ptr<Transfer> rows, pairs, answers;
  std::int64_t first_answer = 0;
  bool more = false;  // whether a rank has tokens left after this one
};

// One pass of one layer through the exchanges.
template <class T>
class Pass {
 public:
  Pass(const ExecSpace& exec, const MoEConfig& moe, ExpertParallel& parallel, const ExpertMap& map,
       int num_local_experts, View2D<const T> x_TD, const MoEActivations<T>& buffers)
      : exec_(exec),
        moe_(moe),
        parallel_(parallel),
        map_(map),
        num_local_experts_(num_local_experts),
        x_TD_(x_TD),
        routing_(buffers.routing),
        buffers_(*buffers.exchange) {}

  // The next exchange's tokens are on their way when the experts begin to work on this one's, if there are two stages.
  void run(const RunExperts<T>& run_experts) {
    const std::size_t num_stages = buffers_.stages.size();
    std::array<Exchange<T>, 2> exchanges;
    std::size_t begun = 0;
    const auto begin_next = [&] {
      Exchange<T>& exchange = exchanges[begun % num_stages];
      finish(exchange);  // the one that had this stage before
      exchange = begin(buffers_.stages[begun % num_stages], std::int64_t(begun) * parallel_.tokens_per_exchange);
      ++begun;
      return exchange.more;
    };
    bool more = begin_next();
    for (std::size_t served = 0; served < begun; ++served) {
      if (more && num_stages == 2) more = begin_next();
      serve(buffers_.stages[served % num_stages], exchanges[served % num_stages], run_experts);
      if (more && num_stages == 1) more = begin_next();
    }
    // In the order they began: all ranks wait for the same one.
    for (std::size_t i = begun >= num_stages ? begun - num_stages : 0; i < begun; ++i)
      finish(exchanges[i % num_stages]);
    parallel_.traffic.token_layers += x_TD_.extent(0);
  }

 private:
  Exchange<T> begin(const ExchangeStage<T>& stage, std::int64_t first) {
    const std::int64_t num_tokens = x_TD_.extent(0), begin = std::min(first, num_tokens);
    const std::int64_t count = std::min(parallel_.tokens_per_exchange, num_tokens - begin);
    const std::int64_t top_k = moe_.n_activated_experts;
    Exchange<T> exchange;
    exchange.first_answer = next_answer_;
    const ExchangePlan plan{.first_row_N1 = stage.first_row_N1,
                            .first_pair_N1 = stage.first_pair_N1,
                            .token_S = stage.token_S,
                            .pair_P3 = stage.pair_sent_P3,
                            .pair_TK = slice(buffers_.pair_TK, begin, begin + count),
                            .row_TK = slice(buffers_.row_TK, begin, begin + count),
                            .first_pair = int(begin * top_k),
                            .first_row = int(next_answer_)};
    plan_exchange(exec_, slice(routing_.expert_TK, begin, begin + count),
                  slice(routing_.weight_TK, begin, begin + count), begin + parallel_.group->rank(), map_,
                  stage.plan_scratch, plan);
    exchange.sent_rows = counts_of(exec_, stage.first_row_N1);
    exchange.sent_pairs = counts_of(exec_, stage.first_pair_N1);
    exchange_counts(begin + count < num_tokens, exchange);
    next_answer_ += parallel_.reduce_answers ? sum(exchange.sent_rows) : sum(exchange.sent_pairs);

    const View2D<T> sent_SD = slice(stage.sent_SD, 0, sum(exchange.sent_rows));
    gather_rows<T>(exec_, slice<const T>(x_TD_, begin, begin + count), slice(stage.token_S, 0, sent_SD.extent(0)),
                   sent_SD);
    Communicator& group = *parallel_.group;
    exchange.rows =
        group.start_all_to_all_v<T>(exec_, sent_SD, exchange.sent_rows, stage.arrived_SD, exchange.arrived_rows);
    exchange.pairs = group.start_all_to_all_v<int>(exec_, stage.pair_sent_P3, exchange.sent_pairs, stage.pair_P3,
                                                   exchange.arrived_pairs);
    return exchange;
  }

  // How many rows and pairs each rank gets from each other, and whether anybody has tokens left.
  void exchange_counts(bool more, Exchange<T>& exchange) {
    Counts sent;
    for (std::size_t r = 0; r < exchange.sent_rows.size(); ++r) {
      sent.insert(sent.end(), {exchange.sent_rows[r], exchange.sent_pairs[r], std::int64_t(more)});
    }
    const Counts arrived = parallel_.group->exchange(sent);
    for (std::size_t r = 0; r < arrived.size(); r += 3) {
      exchange.arrived_rows.push_back(arrived[r]);
      exchange.arrived_pairs.push_back(arrived[r + 1]);
      exchange.more = exchange.more || arrived[r + 2] != 0;
    }
    count_traffic(exchange);
  }

  void count_traffic(const Exchange<T>& exchange) {
    const auto to_others = [&](const Counts& counts) { return sum(counts) - counts[parallel_.group->rank()]; };
    const std::int64_t row_bytes = std::int64_t(x_TD_.extent(1)) * std::int64_t(sizeof(T));
    const std::int64_t rows = to_others(exchange.sent_rows);
    const std::int64_t answers = to_others(parallel_.reduce_answers ? exchange.arrived_rows : exchange.arrived_pairs);
    parallel_.traffic.add({.rows_sent = rows,
                           .row_bytes = rows * row_bytes,
                           .pair_bytes = to_others(exchange.sent_pairs) * 3 * std::int64_t(sizeof(int)),
                           .answers_sent = answers,
                           .answer_bytes = answers * row_bytes});
  }

  // Sorts what arrived by expert, runs the experts, and sends their answers back.
  void serve(const ExchangeStage<T>& stage, Exchange<T>& exchange, const RunExperts<T>& run_experts) {
    const std::int64_t num_pairs = sum(exchange.arrived_pairs);
    copy_offsets(exec_, exchange.arrived_rows, stage.arrived_row_N1);
    copy_offsets(exec_, exchange.arrived_pairs, stage.arrived_pair_N1);
    exchange.pairs->wait(exec_);
    ExpertRows<T> rows = stage.rows.first(num_pairs);
    rows.offset_L1 = slice(stage.rows.offset_L1, 0, num_local_experts_ + 1);
    const View2D<int> expert_P1 = slice(stage.expert_P1, 0, num_pairs);
    const View2D<int> position_P1 = slice(stage.position_P1, 0, num_pairs);
    const View1D<int> row_P = slice(stage.row_P, 0, num_pairs), pair_R = slice(stage.pair_R, 0, num_pairs);
    const View1D<int> row_R = slice(stage.row_R, 0, num_pairs);
    const View1D<float> weight_P = slice(stage.weight_P, 0, num_pairs);
    unpack_pairs(exec_, slice(stage.pair_P3, 0, num_pairs), slice(stage.arrived_row_N1, 0, parallel_.group->size()),
                 stage.arrived_pair_N1, expert_P1, row_P, weight_P);
    permute_plan(exec_, expert_P1, num_local_experts_, stage.permute_scratch, rows.offset_L1, position_P1, pair_R);
    gather_ints(exec_, row_P, pair_R, row_R);
    gather_floats(exec_, weight_P, pair_R, rows.weight_R);
    exchange.rows->wait(exec_);
    gather_rows<T>(exec_, slice(stage.arrived_SD, 0, sum(exchange.arrived_rows)), row_R, rows.x_RD);
    run_experts(rows);
    send_answers(stage, exchange, rows.y_RD, position_P1, row_P, weight_P);
  }

  void send_answers(const ExchangeStage<T>& stage, Exchange<T>& exchange, View2D<const T> y_RD,
                    View2D<const int> position_P1, View1D<const int> row_P, View1D<const float> weight_P) {
    const Counts& back = parallel_.reduce_answers ? exchange.arrived_rows : exchange.arrived_pairs;
    const Counts& mine = parallel_.reduce_answers ? exchange.sent_rows : exchange.sent_pairs;
    const View2D<T> answer = slice(stage.answer_PD, 0, sum(back));
    if (parallel_.reduce_answers) {
      const View1D<const float> weight = moe_.apply_router_weight_after_down ? weight_P : View1D<const float>();
      combine_pairs<T>(exec_, y_RD, position_P1, row_P, weight, slice(stage.first_pair_S1, 0, sum(back) + 1), answer);
    } else {
      gather_rows<T>(exec_, y_RD, View1D<const int>(position_P1.data(), position_P1.extent(0)), answer);
    }
    exchange.answers = parallel_.group->template start_all_to_all_v<T>(
        exec_, answer, back, slice(buffers_.answer_QD, exchange.first_answer, exchange.first_answer + sum(mine)), mine);
  }

  void finish(Exchange<T>& exchange) {
    if (exchange.answers) exchange.answers->wait(exec_);
    exchange.answers.reset();
  }

  const ExecSpace& exec_;
  const MoEConfig& moe_;
  ExpertParallel& parallel_;
  const ExpertMap& map_;
  int num_local_experts_;
  View2D<const T> x_TD_;
  const Routing& routing_;
  const ExchangeBuffers<T>& buffers_;
  std::int64_t next_answer_ = 0;
};

}  // namespace

AllToAllDispatcher::AllToAllDispatcher(const MoEConfig& moe, std::shared_ptr<ExpertParallel> parallel, int layer)
    : moe_(moe),
      parallel_(std::move(parallel)),
      num_local_experts_(int(parallel_->placement.experts_of(layer, parallel_->group->rank()).size())),
      layer_(layer) {}

template <class T>
void AllToAllDispatcher::forward(const ExecSpace& exec, View2D<const T> x_TD, const MoEActivations<T>& buffers,
                                 const RunExperts<T>& run_experts, View2D<T> out_TD) const {
  if (map_.first_E1.extent(0) == 0) map_ = parallel_->map(exec, layer_);
  Pass<T>(exec, moe_, *parallel_, map_, num_local_experts_, x_TD, buffers).run(run_experts);
  const ExchangeBuffers<T>& exchange = *buffers.exchange;
  if (parallel_->reduce_answers) {
    combine<T>(exec, exchange.answer_QD, exchange.row_TK, View2D<const float>(), out_TD);
  } else {
    const View2D<const float> weight =
        moe_.apply_router_weight_after_down ? buffers.routing.weight_TK : View2D<float>();
    combine<T>(exec, exchange.answer_QD, exchange.pair_TK, weight, out_TD);
  }
}

template void AllToAllDispatcher::forward<float>(const ExecSpace&, View2D<const float>, const MoEActivations<float>&,
                                                 const RunExperts<float>&, View2D<float>) const;
template void AllToAllDispatcher::forward<Bf16>(const ExecSpace&, View2D<const Bf16>, const MoEActivations<Bf16>&,
                                                const RunExperts<Bf16>&, View2D<Bf16>) const;

}  // namespace m2
