// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/views.hpp"

namespace m2 {

/// Where the experts of one layer live: the replicas of expert e are entries [first_E1[e], first_E1[e + 1]).
struct ExpertMap {
  View1D<const int> first_E1;      ///< (E + 1)
  View1D<const int> rank_P;        ///< of each replica
  View1D<const int> local_expert;  ///< its number among the experts of that rank
};

/// What a rank sends for its tokens. A *slot* is a token and one of its experts, (t, k) in the router's order; a *row*
/// is a token that at least one expert of a rank wants, once however many do. Rows and slots are sent in the order of
/// destination, then token, then k, so the slots of a row lie together.
struct ExchangePlan {
  View1D<int> row_displacement_N1;   ///< (N + 1) where each destination's rows begin; the last entry is their number
  View1D<int> slot_displacement_N1;  ///< (N + 1) the same of slots
  View1D<int> token_S;               ///< the token of each row; extent at least T min(K, N)
  View2D<int> slot_P3;   ///< (T K, 3) in the order of sending: the row within its destination, the expert's number on
                         ///< that rank, the bits of the weight
  View2D<int> place_TK;  ///< where each slot stands in the order of sending, plus first_place
  View2D<int> row_TK;    ///< the row of each slot where it is that row's first, plus first_row; else -1
  int first_place = 0, first_row = 0;
};

/// Elements of plan_exchange's scratch.
std::int64_t exchange_scratch_size(std::int64_t num_tokens, int num_ranks);

/// Fills `plan` for expert_TK and weight_TK of T tokens. Token t goes to replica (first_token + t) % their number,
/// where first_token differs between ranks, too. A stable counting sort: the result depends on the arguments alone.
/// Throws Error if shapes disagree.
void plan_exchange(const ExecSpace& exec, View2D<const int> expert_TK, View2D<const float> weight_TK,
                   std::int64_t first_token, const ExpertMap& map, View1D<int> scratch, const ExchangePlan& plan);

/// From the slots that arrived, sorted by source: expert_P1[p] = the expert's number here, row_P[p] = the row among all
/// that arrived, weight_P[p] = the routing weight. row_displacement_N and slot_displacement_N1 (last entry P) say where
/// each source's begin. Throws Error if shapes disagree.
void unpack_slots(const ExecSpace& exec, View2D<const int> slot_P3, View1D<const int> row_displacement_N,
                  View1D<const int> slot_displacement_N1, View2D<int> expert_P1, View1D<int> row_P,
                  View1D<float> weight_P);

/// out[i] = table[index[i]]. Throws Error if shapes disagree.
void gather_ints(const ExecSpace& exec, View1D<const int> table, View1D<const int> index, View1D<int> out);
void gather_floats(const ExecSpace& exec, View1D<const float> table, View1D<const int> index, View1D<float> out);

/// out[s] = sum over the slots p of row s, ascending and in float, of weight_P[p] * y[position_P1[p]], rounded to T
/// once; an empty weight_P (0) means 1. row_P must be ascending and name every row. Throws Error if shapes disagree.
template <class T>
void combine_slots(const ExecSpace& exec, View2D<const T> y_PD, View2D<const int> position_P1, View1D<const int> row_P,
                   View1D<const float> weight_P, View1D<int> first_slot_S1, View2D<T> out_SD);

/// count_E[e] += the slots that chose expert e.
void count_experts(const ExecSpace& exec, View2D<const int> expert_TK, View1D<std::int64_t> count_E);

}  // namespace m2
