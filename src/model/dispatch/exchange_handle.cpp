// SPDX-License-Identifier: Apache-2.0
#include "model/dispatch/exchange_handle.hpp"

#include "core/host_copy.hpp"
#include "kernels/moe/permute.hpp"

namespace m2 {
namespace {

// Element r is displacement[r + 1] - displacement[r], on the host.
Counts counts_of(const ExecSpace& exec, const View1D<int>& displacement_N1) {
  const std::vector<int> displacement = to_host(exec, displacement_N1, "m2::dispatch: how much goes where");
  Counts counts;
  for (std::size_t r = 0; r + 1 < displacement.size(); ++r) counts.push_back(displacement[r + 1] - displacement[r]);
  return counts;
}

void copy_displacements(const ExecSpace& exec, const Counts& counts, const View1D<int>& displacement_N1) {
  std::vector<int> displacement{0};
  for (const std::int64_t count : counts) displacement.push_back(displacement.back() + int(count));
  copy_to_device(exec, displacement, displacement_N1);
  exec.fence("m2::dispatch: the host's displacements end here");
}

// What each rank gets from each other, and whether anybody has tokens left.
struct ArrivingCounts {
  Counts rows, slots;
  bool more = false;

  ArrivingCounts(Communicator& group, const Counts& sent_rows, const Counts& sent_slots, bool more_here) {
    Counts sent;
    for (std::size_t r = 0; r < sent_rows.size(); ++r) {
      sent.insert(sent.end(), {sent_rows[r], sent_slots[r], std::int64_t(more_here)});
    }
    const Counts arriving = group.exchange(sent);
    for (std::size_t r = 0; r < arriving.size(); r += 3) {
      rows.push_back(arriving[r]);
      slots.push_back(arriving[r + 1]);
      more = more || arriving[r + 2] != 0;
    }
  }
};

void finish(const ExecSpace& exec, std::unique_ptr<Transfer>& transfer) {
  if (transfer) transfer->wait(exec);
  transfer.reset();
}

}  // namespace

template <class T>
ExchangeHandle<T>::ExchangeHandle(const ExecSpace& exec, const SplitExperts& experts, View2D<const T> x_TD,
                                  const Routing& routing, const MoEActivations<T>& buffers)
    : experts_(experts),
      x_TD_(x_TD),
      routing_(routing),
      buffers_(&*buffers.exchange),
      plans_(buffers.plans),
      places_(x_TD.extent(0), routing.expert_TK.extent_int(1), *buffers.plans) {
  experts_.parallel->traffic.token_layers += x_TD.extent(0);
  begin_exchange(exec);
}

template <class T>
const ExpertRows<T>* ExchangeHandle<T>::next(const ExecSpace& exec) {
  if (num_served_ == exchanges_.size()) return nullptr;
  if (more_ && buffers_->stages.size() == 2) begin_exchange(exec);
  const std::size_t stage = stage_of(num_served_);
  rows_ = receive_tokens(exec, exchanges_[num_served_], buffers_->stages[stage], transfers_[stage]);
  return &*rows_;
}

template <class T>
void ExchangeHandle<T>::send_back(const ExecSpace& exec) {
  const Exchange& exchange = exchanges_[num_served_];
  const ExchangeStage<T>& stage = buffers_->stages[stage_of(num_served_)];
  const ArrivedSlots& arrived = exchange.arrived;
  const bool reduced = experts_.parallel->reduce_answers;
  const Counts& back = reduced ? exchange.arrived_rows : exchange.arrived_slots;
  const Counts& mine = reduced ? exchange.sent_rows : exchange.sent_slots;
  const View2D<T> answer = slice(stage.answer_PD, 0, sum(back));
  if (reduced) {
    const View1D<const float> weight_P = experts_.weigh_answers ? arrived.weight_P : View1D<float>();
    combine_slots<T>(exec, rows_->y_RD, arrived.position_P1, arrived.row_P, weight_P,
                     slice(stage.first_slot_S1, 0, sum(back) + 1), answer);
  } else {
    const View1D<const int> position_P(arrived.position_P1.data(), arrived.position_P1.extent(0));
    gather_rows<T>(exec, rows_->y_RD, position_P, answer);
  }
  transfers_[stage_of(num_served_)].answers = experts_.parallel->group->template start_all_to_all_v<T>(
      exec, answer, back, slice(buffers_->answer_QD, exchange.first_answer, exchange.first_answer + sum(mine)), mine);
  ++num_served_;
  if (more_ && buffers_->stages.size() == 1) begin_exchange(exec);
}

template <class T>
void ExchangeHandle<T>::wait(const ExecSpace& exec) {
  // In the order they began: all ranks wait for the same one.
  for (std::size_t i = 0; i < buffers_->stages.size(); ++i) {
    finish(exec, transfers_[stage_of(exchanges_.size() + i)].answers);
  }
}

template <class T>
void ExchangeHandle<T>::begin_exchange(const ExecSpace& exec) {
  Communicator& group = *experts_.parallel->group;
  const ExchangeStage<T>& stage = buffers_->stages[stage_of(exchanges_.size())];
  Transfers& transfers = transfers_[stage_of(exchanges_.size())];
  finish(exec, transfers.answers);  // of the exchange that had this stage before
  SentTokens sent = plan_tokens(exec, stage);
  Counts sent_rows = counts_of(exec, stage.sent_row_displacement_N1);
  Counts sent_slots = counts_of(exec, stage.sent_slot_displacement_N1);
  sent.token_S = slice(sent.token_S, 0, sum(sent_rows));
  const bool more_here = sent.first_token + sent.num_tokens < std::int64_t(x_TD_.extent(0));
  const ArrivingCounts arriving(group, sent_rows, sent_slots, more_here);
  more_ = arriving.more;
  exchanges_.push_back({.sent = sent,
                        .sent_rows = std::move(sent_rows),
                        .sent_slots = std::move(sent_slots),
                        .arrived_rows = arriving.rows,
                        .arrived_slots = arriving.slots,
                        .arrived = ArrivedSlots(sum(arriving.slots), experts_.num_rank_experts, *plans_),
                        .first_answer = num_answers_});
  const Exchange& exchange = exchanges_.back();
  num_answers_ += sum(experts_.parallel->reduce_answers ? exchange.sent_rows : exchange.sent_slots);
  count_traffic(exchange);
  send_tokens(exec, exchange, stage, transfers);
}

template <class T>
SentTokens ExchangeHandle<T>::plan_tokens(const ExecSpace& exec, const ExchangeStage<T>& stage) const {
  const ExpertParallel& parallel = *experts_.parallel;
  const std::int64_t num_tokens = x_TD_.extent(0), per_exchange = parallel.tokens_per_exchange;
  const std::int64_t begin = std::min(std::int64_t(exchanges_.size()) * per_exchange, num_tokens);
  const std::int64_t end = std::min(begin + per_exchange, num_tokens);
  const int top_k = routing_.expert_TK.extent_int(1);
  const SentTokens sent(begin, end - begin, top_k, parallel.group->size(), *plans_);
  const ExchangePlan plan{.row_displacement_N1 = stage.sent_row_displacement_N1,
                          .slot_displacement_N1 = stage.sent_slot_displacement_N1,
                          .token_S = sent.token_S,
                          .slot_P3 = stage.sent_slot_P3,
                          .place_TK = slice(places_.place_TK, begin, end),
                          .row_TK = slice(places_.row_TK, begin, end),
                          .first_place = int(begin * top_k),
                          .first_row = int(num_answers_)};
  plan_exchange(exec, slice(routing_.expert_TK, begin, end), slice(routing_.weight_TK, begin, end),
                begin + parallel.group->rank(), experts_.map, stage.plan_scratch, plan);
  return sent;
}

template <class T>
void ExchangeHandle<T>::send_tokens(const ExecSpace& exec, const Exchange& exchange, const ExchangeStage<T>& stage,
                                    Transfers& transfers) const {
  Communicator& group = *experts_.parallel->group;
  const SentTokens& sent = exchange.sent;
  const View2D<T> sent_SD = slice(stage.sent_SD, 0, sum(exchange.sent_rows));
  gather_rows<T>(exec, slice(x_TD_, sent.first_token, sent.first_token + sent.num_tokens), sent.token_S, sent_SD);
  transfers.rows =
      group.start_all_to_all_v<T>(exec, sent_SD, exchange.sent_rows, stage.arrived_SD, exchange.arrived_rows);
  transfers.slots = group.start_all_to_all_v<int>(exec, stage.sent_slot_P3, exchange.sent_slots, stage.arrived_slot_P3,
                                                  exchange.arrived_slots);
}

template <class T>
void ExchangeHandle<T>::count_traffic(const Exchange& exchange) const {
  ExpertParallel& parallel = *experts_.parallel;
  const auto to_others = [&](const Counts& counts) { return sum(counts) - counts[parallel.group->rank()]; };
  const std::int64_t row_bytes = std::int64_t(x_TD_.extent(1)) * std::int64_t(sizeof(T));
  const std::int64_t rows = to_others(exchange.sent_rows);
  const std::int64_t answers = to_others(parallel.reduce_answers ? exchange.arrived_rows : exchange.arrived_slots);
  parallel.traffic.add({.rows_sent = rows,
                        .row_bytes = rows * row_bytes,
                        .slot_bytes = to_others(exchange.sent_slots) * 3 * std::int64_t(sizeof(int)),
                        .answers_sent = answers,
                        .answer_bytes = answers * row_bytes});
}

// Sorts what arrived by expert.
template <class T>
ExpertRows<T> ExchangeHandle<T>::receive_tokens(const ExecSpace& exec, const Exchange& exchange,
                                                const ExchangeStage<T>& stage, Transfers& transfers) const {
  const ArrivedSlots& arrived = exchange.arrived;
  const std::int64_t num_slots = sum(exchange.arrived_slots);
  copy_displacements(exec, exchange.arrived_rows, stage.arrived_row_displacement_N1);
  copy_displacements(exec, exchange.arrived_slots, stage.arrived_slot_displacement_N1);
  finish(exec, transfers.slots);
  unpack_slots(exec, slice(stage.arrived_slot_P3, 0, num_slots),
               slice(stage.arrived_row_displacement_N1, 0, experts_.parallel->group->size()),
               stage.arrived_slot_displacement_N1, arrived.expert_P1, arrived.row_P, arrived.weight_P);
  permute_plan(exec, arrived.expert_P1, experts_.num_rank_experts, stage.permute_scratch, arrived.offset_L1,
               arrived.position_P1, arrived.slot_R);
  const ExpertRows<T> rows = stage.rows.first(num_slots, arrived.offset_L1);
  gather_ints(exec, arrived.row_P, arrived.slot_R, arrived.row_R);
  gather_floats(exec, arrived.weight_P, arrived.slot_R, rows.weight_R);
  finish(exec, transfers.rows);
  gather_rows<T>(exec, slice(stage.arrived_SD, 0, sum(exchange.arrived_rows)), arrived.row_R, rows.x_RD);
  return rows;
}

template class ExchangeHandle<float>;
template class ExchangeHandle<Bf16>;

}  // namespace m2
