// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "comm/communicator.hpp"
#include "model/dispatch/dispatch_buffers.hpp"

namespace m2 {

/// The experts of one layer, split over ranks.
struct SplitExperts {
  std::shared_ptr<ExpertParallel> parallel;
  ExpertMap map;
  int num_rank_experts;  ///< of this rank
  bool weigh_answers;    ///< the routing weight goes in after the down projection
};

/// One layer's tokens on their way to experts on other ranks and back, in exchanges of
/// ExpertParallel::tokens_per_exchange tokens of each rank. The plan of every exchange stays valid after combine(), as
/// long as its memory; `buffers` are used again by the next dispatch.
template <class T>
class ExchangeHandle {
 public:
  /// The first exchange's tokens are on their way. Collective, as is every function that takes `exec`.
  ExchangeHandle(const ExecSpace& exec, const SplitExperts& experts, View2D<const T> x_TD, const Routing& routing,
                 const MoEActivations<T>& buffers);

  /// The rows of the next exchange, sorted by expert; nullptr after the last. With two stages the tokens of the
  /// exchange behind it are on their way when it returns. Throws Error when the exchange fails.
  const ExpertRows<T>* next(const ExecSpace& exec);
  /// To be called when the experts have written y_RD.
  void send_back(const ExecSpace& exec);
  /// What is enqueued from now on sees all answers in answer_QD().
  void wait(const ExecSpace& exec);

  const std::vector<Exchange>& exchanges() const { return exchanges_; }
  const AnswerPlaces& places() const { return places_; }
  const Routing& routing() const { return routing_; }
  /// Valid until the buffers are used again.
  View2D<const T> answer_QD() const { return buffers_->answer_QD; }

 private:
  struct Transfers {
    std::unique_ptr<Transfer> rows, slots, answers;
  };

  void begin_exchange(const ExecSpace& exec);
  SentTokens plan_tokens(const ExecSpace& exec, const ExchangeStage<T>& stage) const;
  void send_tokens(const ExecSpace& exec, const Exchange& exchange, const ExchangeStage<T>& stage,
                   Transfers& transfers) const;
  void count_traffic(const Exchange& exchange) const;
  ExpertRows<T> receive_tokens(const ExecSpace& exec, const Exchange& exchange, const ExchangeStage<T>& stage,
                               Transfers& transfers) const;

  std::size_t stage_of(std::size_t exchange) const { return exchange % buffers_->stages.size(); }

  SplitExperts experts_;
  View2D<const T> x_TD_;
  Routing routing_;
  const ExchangeBuffers<T>* buffers_;
  Workspace* plans_;
  AnswerPlaces places_;
  std::vector<Exchange> exchanges_;     // begun so far
  std::array<Transfers, 2> transfers_;  // of each stage
  std::size_t num_served_ = 0;          // of the exchanges, by the experts of this rank
  std::int64_t num_answers_ = 0;        // to what was sent so far
  bool more_ = true;                    // whether a rank has tokens left to send
  std::optional<ExpertRows<T>> rows_;   // of the exchange that is served
};

}  // namespace m2
