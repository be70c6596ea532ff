// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/communicator.hpp"

namespace m2 {

/// out_W[w] = the sum over the leaves_LW(l, w) of all ranks, in float, on every rank. The leaves are numbered through,
/// rank after rank, and added by the tree of SumOrder::fixed over these numbers: the same bits however the leaves are
/// shared out, and whatever the transport. Zero without leaves. Collective; waits for the instance. Cost: the local
/// leaves are read once, and each rank sends every other at most 2 log2(leaves) + 1 vectors of W, its subtrees.
void ordered_sum(const ExecSpace& exec, Communicator& communicator, View2D<const float> leaves_LW, View1D<float> out_W);

}  // namespace m2
