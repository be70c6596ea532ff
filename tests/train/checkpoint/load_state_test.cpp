// SPDX-License-Identifier: Apache-2.0
#include "train/checkpoint/load_state.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "core/error.hpp"
#include "io/temporary_folder.hpp"
#include "train/checkpoint/small_run.hpp"

namespace m2 {
namespace {

using test::SmallRun;
using test::TemporaryFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class LoadState : public ::testing::Test {
 protected:
  LoadState() { test::write_checkpoint(run_, path_); }

  void load() { load_state(*open_checkpoint(path_), run_.states, test::exec()); }

  TemporaryFolder folder_;
  std::string path_ = folder_ / "step-7.h5";
  SmallRun run_{"tiny-f32"};
};

TEST_F(LoadState, NamesWhatIsMissingUnknownMisshapenAndTwice) {
  const auto before = run_.optimizer();
  std::vector<StateTensor>& states = run_.states;
  const auto find = [&](const std::string& name) { return std::ranges::find(states, name, &StateTensor::name); };
  find("norm/master")->name = "norm/momentum";
  find("lm_head/m")->dtype = DType::bfloat16;
  find("lm_head/v")->shape = {64, 384};
  states.push_back(*find("norm/v"));
  EXPECT_THAT([&] { load(); },
              ThrowsMessage<Error>(
                  AllOf(HasSubstr(path_ + "' does not hold the optimizer state of this run (5 defects)\n"),
                        HasSubstr("\n  '/optimizer/norm/momentum' float32 [64] is missing\n"),
                        HasSubstr("\n  '/optimizer/norm/master' float32 [64] belongs to nothing that is trained now\n"),
                        HasSubstr("\n  '/optimizer/lm_head/m' is float32 [384, 64], expected bfloat16 [384, 64]\n"),
                        HasSubstr("\n  '/optimizer/lm_head/v' is float32 [384, 64], expected float32 [64, 384]\n"),
                        HasSubstr("\n  '/optimizer/norm/v' is asked for twice\n"))));
  EXPECT_TRUE(run_.optimizer() == before);  // nothing was touched
}

TEST_F(LoadState, AlteredBytesAreRefused) {
  test::flip_bit(path_, "/optimizer/layers/0/attention/q_proj/v");
  EXPECT_THAT([&] { load(); },
              ThrowsMessage<Error>(HasSubstr("/optimizer/layers/0/attention/q_proj/v slab 0 of 1 was altered")));
  test::flip_bit(path_, "/trainer");
  EXPECT_THAT([&] { read_trainer_state(*open_checkpoint(path_)); }, ThrowsMessage<Error>(HasSubstr("'/trainer'")));
}

TEST_F(LoadState, AModelAloneIsNoTrainingRun) {
  import_checkpoint(*open_checkpoint(path_), folder_ / "model.h5", DTypeChoice::keep);
  for (const std::string& path : {folder_ / "model.h5", test::fixture("tiny-f32")}) {
    EXPECT_THAT([&] { read_trainer_state(*open_checkpoint(path)); },
                ThrowsMessage<Error>(fmt::format("'{}' has no /trainer: it is not a checkpoint of a training run, and "
                                                 "only a model can be restored from it",
                                                 path)));
    EXPECT_THAT([&] { load_state(*open_checkpoint(path), run_.states, test::exec()); },
                ThrowsMessage<Error>(HasSubstr(fmt::format("({} defects)", run_.states.size()))));
  }
}

}  // namespace
}  // namespace m2
