// SPDX-License-Identifier: Apache-2.0
// The plan that a dispatch leaves behind, against plain loops over the routing.
#include "model/dispatch/local_dispatcher.hpp"

#include "model/dispatch/dispatch_cases.hpp"

namespace m2::test {
namespace {

void expect_plan(const LocalPlan& plan, const Choice& choice) {
  const Sorted sorted(choice.expert, kExperts);
  EXPECT_EQ(to_host_as_is(plan.offset_E1), sorted.offset);
  EXPECT_EQ(to_host_as_is(plan.row_TK), sorted.row_of_slot);
  std::vector<int> token;
  for (const int slot : sorted.slot_of_row) token.push_back(slot / kTopK);
  EXPECT_EQ(to_host_as_is(plan.token_R), token);
}

TEST(LocalDispatch, LeavesAPlanThatAnotherLayerDoesNotChange) {
  const ModelConfig config = small_config();
  const LocalDispatcher dispatcher(config.moe);
  Workspace workspace(exec(), 1 << 20);
  const Choice first(37, 0, 0), second(37, 0, 1);
  Layer layer(config, nullptr, first, workspace);
  const auto handle = layer.run(dispatcher);
  expect_plan(handle.plan(), first);
  layer.route(second);
  const auto other = layer.run(dispatcher);
  expect_plan(handle.plan(), first);
  expect_plan(other.plan(), second);
}

}  // namespace
}  // namespace m2::test
