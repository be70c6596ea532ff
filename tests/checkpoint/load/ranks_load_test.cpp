// SPDX-License-Identifier: Apache-2.0
// Loading on several ranks: each gets the bits of its experts and of what all hold, and reads no byte more.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <chrono>
#include <fstream>
#include <optional>
#include <thread>

#include "checkpoint/convert/convert.hpp"
#include "checkpoint/formats/open_checkpoint.hpp"
#include "checkpoint/hugging_face_folder.hpp"
#include "checkpoint/load/counting_source.hpp"
#include "checkpoint/load/pretrained.hpp"
#include "checkpoint/ranks_progress.hpp"
#include "checkpoint/synthetic_checkpoint.hpp"
#include "core/error.hpp"
#include "io/temporary_folder.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/ranks.hpp"

namespace m2::test {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

Communicator& world() { return session().world(); }

// Which experts a rank holds.
enum class Layout { split, everywhere, pairs };

std::vector<int> experts_of(Layout layout, int num_experts) {
  // pairs: as with parallel.expert = 2, ranks 0, 2, ... hold one half and ranks 1, 3, ... the other
  int part = world().rank(), num_parts = world().size();
  if (layout == Layout::everywhere) part = 0, num_parts = 1;
  if (layout == Layout::pairs) num_parts = std::min(num_parts, 2), part %= num_parts;
  std::vector<int> experts;
  for (int e = num_experts * part / num_parts; e < num_experts * (part + 1) / num_parts; ++e) experts.push_back(e);
  return experts;
}

void hold_only(std::vector<Parameter>& parameters, const std::vector<int>& experts) {
  for (Parameter& parameter : parameters) {
    if (parameter.schema.is_expert_stack()) parameter.experts = experts;
  }
}

// All bits of a parameter's `i`-th slab of `num_slabs`, block scales behind the values.
std::string slab_bits(const Parameter& parameter, std::size_t i, std::size_t num_slabs) {
  std::string bits;
  const auto append = [&](const std::byte* begin, std::size_t bytes) {
    const View1D<std::byte> slab(const_cast<std::byte*>(begin) + bytes / num_slabs * i, bytes / num_slabs);
    const auto host = to_host_as_is(slab);
    bits.append(reinterpret_cast<const char*>(host.data()), host.size());
  };
  if (parameter.vector != nullptr) {
    append(reinterpret_cast<const std::byte*>(parameter.vector->data()), parameter.vector->extent(0) * sizeof(float));
    return bits;
  }
  append(parameter.weight->data(), std::size_t(parameter.weight->bytes()));
  const auto scales = parameter.weight->scale_inv();
  append(reinterpret_cast<const std::byte*>(scales.data()), scales.size() * sizeof(float));
  return bits;
}

struct Case {
  std::string fixture;
  bool is_hdf5 = true;
  DType dtype = DType::bfloat16;
  Layout layout = Layout::split;
  bool shared_reads = true;
};

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  const Case& c = info.param;
  const char* layouts[] = {"split", "everywhere", "pairs"};
  std::string text = c.fixture + (c.is_hdf5 ? "_h5_" : "_folder_") + std::string(name(c.dtype)) + "_" +
                     layouts[int(c.layout)] + (c.shared_reads ? "_shared" : "_alone");
  std::erase(text, '-');
  return text;
}

class RanksLoad : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const std::string original = fixture(GetParam().fixture);
    path_ = original;
    if (!GetParam().is_hdf5) return;
    if (world().rank() == 0) {
      folder_.emplace();
      import_checkpoint(*open_checkpoint(original), *folder_ / "model.h5", DTypeChoice::keep);
    }
    path_ = world().broadcast_text(folder_ ? *folder_ / "model.h5" : "", 0);
  }
  void TearDown() override { world().barrier(); }

  // Of everything this rank holds, against a process that loads the whole model alone.
  void expect_same_bits(const std::vector<Parameter>& parameters) const {
    const auto source = open_checkpoint(path_);
    MiniMaxM2ForCausalLM whole(source->config(), {.exec = exec()});
    std::vector<Parameter> expected = whole.parameters();
    load_parameters(*source, expected, exec(), GetParam().dtype);
    for (std::size_t p = 0; p < expected.size(); ++p) {
      const std::vector<int>& experts = parameters[p].experts;
      if (experts.empty()) {
        EXPECT_TRUE(slab_bits(parameters[p], 0, 1) == slab_bits(expected[p], 0, 1)) << expected[p].name();
      }
      for (std::size_t i = 0; i < experts.size(); ++i) {
        EXPECT_TRUE(slab_bits(parameters[p], i, experts.size()) ==
                    slab_bits(expected[p], std::size_t(experts[i]), std::size_t(expected[p].schema.shape[0])))
            << expected[p].name() << ", expert " << experts[i];
      }
    }
  }

  // How often each byte of a stack is to be read by all ranks together.
  std::string expected_counts(const StoredTensor& tensor, const std::vector<int>& own) const {
    std::vector<std::int64_t> holds(std::size_t(tensor.num_slabs()));
    for (const int expert : own) holds[std::size_t(expert)] = 1;
    const auto all = world().all_gather_values(holds);
    std::string counts(tensor.size_bytes(), '\0');
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const std::size_t slab = i / tensor.slab_bytes();
      for (std::size_t at = slab; at < all.size(); at += holds.size()) counts[i] = char(counts[i] + all[at]);
      // Ranks that hold the same experts share them; those of one layout here either do or have none in common.
      if (GetParam().shared_reads) counts[i] = 1;
    }
    return counts;
  }

  std::optional<TemporaryFolder> folder_;  // on rank 0
  std::string path_;
};

TEST_P(RanksLoad, EachRankGetsItsSlabsAndEachByteIsReadOnce) {
  const auto opened = open_checkpoint(path_, &world());
  const CountingSource source(*opened);
  MiniMaxM2ForCausalLM model(source.config(), {.exec = exec()});
  std::vector<Parameter> parameters = model.parameters();
  const std::vector<int> own = experts_of(GetParam().layout, source.config().num_local_experts);
  hold_only(parameters, own);
  constexpr std::size_t kReadBytes = 5000;
  const LoadResult result =
      load_parameters(source, parameters, exec(), GetParam().dtype,
                      {.world = &world(), .shared_reads = GetParam().shared_reads, .read_bytes = kReadBytes});
  expect_same_bits(parameters);

  std::uint64_t read_bytes = 0;
  for (const StoredTensor& tensor : source.tensors()) {
    std::string total(tensor.size_bytes(), '\0');
    for (const std::string& counts : world().all_gather_texts(source.counts(tensor.name))) {
      for (std::size_t i = 0; i < total.size(); ++i) total[i] = char(total[i] + counts[i]);
    }
    const bool is_stack = tensor.is_expert_stack();
    const std::string once(tensor.size_bytes(), GetParam().shared_reads ? '\1' : char(world().size()));
    EXPECT_TRUE(total == (is_stack ? expected_counts(tensor, own) : once)) << tensor.name;
    for (const char count : total) read_bytes += std::uint64_t(count);
    if (!is_stack || GetParam().layout != Layout::split) continue;
    std::string own_counts(tensor.size_bytes(), '\0');
    for (const int expert : own)
      std::fill_n(own_counts.begin() + std::ptrdiff_t(std::size_t(expert) * tensor.slab_bytes()), tensor.slab_bytes(),
                  '\1');
    EXPECT_TRUE(source.counts(tensor.name) == own_counts) << tensor.name;
  }
  EXPECT_EQ(result.bytes, read_bytes);
  if (GetParam().fixture == "tiny-fp8") {
    EXPECT_LE(source.largest_read(), kReadBytes);
  }
}

std::vector<Case> cases() {
  std::vector<Case> cases;
  for (const std::string fixture : {"tiny-f32", "tiny-bf16", "tiny-fp8"}) {
    for (const bool is_hdf5 : {true, false}) {
      for (const bool shared_reads : {true, false}) {
        const DType own = fixture == "tiny-f32" ? DType::float32 : DType::bfloat16;
        cases.push_back({fixture, is_hdf5, own, Layout::split, shared_reads});
      }
    }
  }
  for (const Layout layout : {Layout::everywhere, Layout::pairs}) {
    for (const bool shared_reads : {true, false}) {
      cases.push_back({"tiny-fp8", true, DType::bfloat16, layout, shared_reads});
    }
  }
  cases.push_back({"tiny-f32", true, DType::bfloat16, Layout::split, true});  // with conversions
  cases.push_back({"tiny-f32", true, DType::bfloat16, Layout::split, false});
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Cases, RanksLoad, ::testing::ValuesIn(cases()), case_name);

// The peak of this process since the last reset, from the system.
std::int64_t peak_resident_bytes(bool reset) {
  if (reset) std::ofstream("/proc/self/clear_refs") << "5";
  std::ifstream status("/proc/self/status");
  std::string word;
  std::int64_t kib = 0;
  while (status >> word && word != "VmHWM:") {
  }
  status >> kib;
  return kib * 1024;
}

// The promise is 1 GB above the weights; a tenth of that is what this model can show.
TEST(RanksLoadMemory, IsThatOfTheOwnWeights) {
  MiniMaxM2Config config;
  config.hidden_size = 1024;
  config.intermediate_size = 512;
  config.num_hidden_layers = 4;
  config.num_attention_heads = 8;
  config.num_key_value_heads = 2;
  config.num_local_experts = 16;
  config.vocab_size = 60'000;  // 123 MB in one slab
  std::optional<TemporaryFolder> folder;
  if (world().rank() == 0) {
    folder.emplace();
    write_synthetic_checkpoint(*folder / "in", config, DType::bfloat16, 5'000'000'000);
  }
  const std::string path = world().broadcast_text(folder ? *folder / "in" : "", 0);
  const auto source = open_checkpoint(path, &world());
  for (const bool shared_reads : {true, false}) {
    MiniMaxM2ForCausalLM model(source->config(), {.exec = exec()});
    std::vector<Parameter> parameters = model.parameters();
    hold_only(parameters, experts_of(Layout::split, config.num_local_experts));
    const std::int64_t before_bytes = peak_resident_bytes(true);
    load_parameters(*source, parameters, exec(), DType::bfloat16, {.world = &world(), .shared_reads = shared_reads});
    const std::int64_t grown_bytes = peak_resident_bytes(false) - before_bytes;
    std::int64_t own_bytes = 0;
    for (const Parameter& parameter : parameters) own_bytes += parameter.storage_bytes(parameter.dtype());
    EXPECT_LT(grown_bytes, own_bytes + 100'000'000);
    EXPECT_GT(grown_bytes, own_bytes / 2) << "the measurement sees the weights";
  }
  world().barrier();
}

// All have a million bytes to do; the last rank has done a thousand of them when the others are ready.
TEST(RanksProgressLine, NamesTheSlowestRankAndItsRate) {
  const int last = world().size() - 1;
  const bool speaks = world().rank() == 0;
  if (speaks) ::testing::internal::CaptureStderr();
  {
    RanksProgress progress("load", 1'000'000, &world());
    EXPECT_EQ(progress.total_bytes(), 1'000'000u * world().size());
    progress.own().add(world().rank() == last ? 1000 : 1'000'000);
    progress.own().print_at_end();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    EXPECT_GT(progress.finish(), 0.1);
  }
  if (!speaks) return;
  const std::string line = ::testing::internal::GetCapturedStderr();
  if (last == 0) {
    EXPECT_THAT(line, ::testing::StartsWith("load    0%  1.0 kB of 1.0 MB  "));
  } else {
    EXPECT_THAT(line, HasSubstr(fmt::format(" {}.0 MB  ", world().size())));
    EXPECT_THAT(line, ::testing::ContainsRegex(fmt::format("slowest rank {}: [0-9.]+ k?B/s\n$", last)))
        << "a thousand bytes in a tenth of a second";
  }
}

TEST(RanksOpen, EveryRankMustSeeTheSameFile) {
  std::optional<TemporaryFolder> folder;
  if (world().rank() == 0) {
    folder.emplace();
    import_checkpoint(*open_checkpoint(fixture("tiny-fp8")), *folder / "model.h5", DTypeChoice::keep);
    import_checkpoint(*open_checkpoint(fixture("tiny-f32")), *folder / "other.h5", DTypeChoice::keep);
  }
  const std::string path = world().broadcast_text(folder ? folder->path() : "", 0);
  const bool is_last = world().rank() > 0 && world().rank() == world().size() - 1;
  if (is_last) {
    EXPECT_THAT([&] { open_checkpoint(path + "/other.h5", &world()); },
                ThrowsMessage<Error>(HasSubstr("where the first rank opened it: every rank must see the same file")));
    EXPECT_THAT([&] { open_checkpoint(path, &world()); },
                ThrowsMessage<Error>(HasSubstr("is a folder here and a file where rank 0 opened it")));
    EXPECT_THAT([&] { open_checkpoint(path + "/missing.h5", &world()); },
                ThrowsMessage<Error>(HasSubstr("missing.h5' does not exist")));
    world().broadcast_text("", 0);  // the collective that a rank without the file does not come to
  } else {
    for (int i = 0; i < 3; ++i) EXPECT_EQ(open_checkpoint(path + "/model.h5", &world())->tensors().size(), 39u);
  }
  world().barrier();
}

}  // namespace
}  // namespace m2::test
