// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <array>
#include <cstdio>
#include <memory>
#include <thread>

#include "core/error.hpp"
#include "io/file_size_limit.hpp"
#include "io/hash.hpp"
#include "io/hdf5_example.hpp"

namespace m2 {
namespace {

using test::bytes_of;
using test::Hdf5Example;
using test::TemporaryFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Hdf5, ReadsWhatWasWritten) {
  const TemporaryFolder folder;
  const Hdf5Example example;
  example.write(folder / "a.h5");
  EXPECT_THAT(folder.names(), ElementsAre("a.h5"));

  const Hdf5Reader reader(folder / "a.h5");
  ASSERT_EQ(reader.datasets().size(), example.plans.size());
  for (std::size_t i = 0; i < example.plans.size(); ++i) {
    const Hdf5DatasetPlan& plan = example.plans[i];
    const Hdf5Dataset& dataset = reader.datasets()[i];
    EXPECT_EQ(dataset.name, plan.path);
    EXPECT_EQ(dataset.dtype, plan.dtype);
    EXPECT_EQ(dataset.shape, plan.shape);
    EXPECT_EQ(dataset.num_slabs, plan.num_slabs);
    EXPECT_EQ(dataset.is_text, plan.is_text);
    EXPECT_EQ(reader.find(plan.path), &dataset);
    EXPECT_EQ(test::read_all(reader, dataset), example.contents[i]) << plan.path;
  }
  EXPECT_EQ(reader.text("/config"), "{\"a\": \"text\"}");
  EXPECT_EQ(reader.find("/model"), nullptr);
  EXPECT_THAT([&] { reader.text("/tokenizer"); }, ThrowsMessage<Error>(HasSubstr("a.h5' has no dataset '/tokenizer'")));
  EXPECT_THAT([&] { reader.text("/model/norm"); },
              ThrowsMessage<Error>(HasSubstr("dataset '/model/norm' is not a text but bfloat16")));
}

TEST(Hdf5, KeepsEveryDType) {
  const TemporaryFolder folder;
  std::vector<Hdf5DatasetPlan> plans;
  for (int i = 0; i <= int(DType::uint64); ++i) plans.push_back({fmt::format("/{}", name(DType(i))), DType(i), {2}});
  Hdf5Writer writer(folder / "a.h5", plans);
  const std::string content = "0123456789abcdef";
  for (std::size_t i = 0; i < plans.size(); ++i)
    writer.write_all(i, bytes_of(content).first(2 * size_bytes(plans[i].dtype)));
  writer.finish();
  const Hdf5Reader reader(folder / "a.h5");
  for (const Hdf5DatasetPlan& plan : plans) {
    const Hdf5Dataset* const dataset = reader.find(plan.path);
    ASSERT_NE(dataset, nullptr) << plan.path;
    EXPECT_EQ(dataset->dtype, plan.dtype);
    EXPECT_EQ(test::read_all(reader, *dataset), content.substr(0, dataset->size_bytes)) << plan.path;
  }
}

TEST(Hdf5, ReadsAndVerifiesSlabsAlone) {
  const TemporaryFolder folder;
  const Hdf5Example example;
  example.write(folder / "a.h5");
  const Hdf5Reader reader(folder / "a.h5");
  const Hdf5Dataset& down = *reader.find("/model/layers/0/moe/experts/down");
  EXPECT_EQ(down.slab_bytes(), 10u);
  EXPECT_EQ(down.hashes[1], hash64(bytes_of(example.contents[2].substr(10, 10))));
  std::string out(20, '\0');
  reader.read_slabs(down, 1, 2, std::as_writable_bytes(std::span(out)));
  EXPECT_EQ(out, example.contents[2].substr(10));
  EXPECT_THAT([&] { reader.read_slabs(down, 2, 2, std::as_writable_bytes(std::span(out))); },
              ThrowsMessage<Error>(HasSubstr(
                  "cannot read 2 slabs from slab 2 of dataset '/model/layers/0/moe/experts/down', which has 3")));
  EXPECT_THAT([&] { reader.read_slabs(down, 0, 1, std::as_writable_bytes(std::span(out))); },
              ThrowsMessage<Error>(HasSubstr("have 10 bytes, but there is room for 20")));
  reader.read_bytes(down, 5, std::as_writable_bytes(std::span(out)).first(7));
  EXPECT_EQ(out.substr(0, 7), example.contents[2].substr(5, 7));
  EXPECT_THAT([&] { reader.read_bytes(down, 25, std::as_writable_bytes(std::span(out)).first(7)); },
              ThrowsMessage<Error>(HasSubstr("cannot read 7 bytes from byte 25")));
}

TEST(Hdf5, ManyThreadsWriteAndRead) {
  const TemporaryFolder folder;
  constexpr std::size_t kSlabs = 64, kSlabBytes = 40'000;
  std::string content(kSlabs * kSlabBytes, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = char(i * i / 31);
  Hdf5Writer writer(folder / "a.h5",
                    {{"/small", DType::int8, {3}}, {"/big", DType::uint8, {kSlabs, kSlabBytes}, kSlabs}});
  writer.write_all(0, bytes_of(std::string("abc")));
  std::vector<std::uint64_t> hashes(kSlabs);
  const auto on_threads = [](const auto& work) {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < 4; ++t) {
      threads.emplace_back([&work, t] {
        for (std::size_t slab = t; slab < kSlabs; slab += 4) work(slab);
      });
    }
  };
  on_threads([&](std::size_t slab) {
    const auto bytes = bytes_of(content).subspan(slab * kSlabBytes, kSlabBytes);
    writer.write(1, slab * kSlabBytes, bytes);
    hashes[slab] = hash64(bytes);
  });
  writer.set_hashes(1, hashes);
  writer.finish();

  const Hdf5Reader reader(folder / "a.h5");
  const Hdf5Dataset& big = *reader.find("/big");
  EXPECT_EQ(big.offset % (std::size_t{1} << 20), 0u) << "large data begin at a stripe";
  std::string out(content.size(), '\0');
  on_threads([&](std::size_t slab) {
    reader.read_slabs(big, slab, 1, std::as_writable_bytes(std::span(out)).subspan(slab * kSlabBytes, kSlabBytes));
  });
  EXPECT_EQ(out, content);
}

TEST(Hdf5, SameContentGivesTheSameFile) {
  const TemporaryFolder folder;
  const Hdf5Example example;
  example.write(folder / "a.h5");
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // HDF5 counts time in seconds
  example.write(folder / "b.h5");
  EXPECT_EQ(test::read_bytes(folder / "a.h5"), test::read_bytes(folder / "b.h5"));
}

TEST(Hdf5, BadPlansAreRefused) {
  const TemporaryFolder folder;
  const auto create = [&](const std::vector<Hdf5DatasetPlan>& plans) {
    return [&folder, plans] { Hdf5Writer(folder / "a.h5", plans); };
  };
  for (const char* path : {"", "a", "/", "/a/", "/a//b", "/.", "/a/../b"}) {
    EXPECT_THAT(create({{path, DType::int8, {1}}}), ThrowsMessage<Error>(HasSubstr("cannot be the path of a dataset")))
        << path;
  }
  EXPECT_THAT(create({{"/a", DType::int8, {1}}, {"/a", DType::int8, {1}}}),
              ThrowsMessage<Error>(HasSubstr("dataset '/a' is planned twice")));
  EXPECT_THAT(create({{"/a", DType::int8, {1}}, {"/a/b", DType::int8, {1}}}),
              ThrowsMessage<Error>(HasSubstr("cannot create group '/a': HDF5 says: ")));
  EXPECT_THAT(create({{"/a", DType::int8, {2, 0}}}),
              ThrowsMessage<Error>(HasSubstr("dataset '/a' cannot have shape [2, 0]")));
  EXPECT_THAT(create({{"/a", DType::int8, {5}, 2}}),
              ThrowsMessage<Error>(HasSubstr("of shape [5], cannot be divided into 2 equal slabs")));
  EXPECT_THAT(create({{"/a", DType::int8, {5}, 1, true}}),
              ThrowsMessage<Error>(HasSubstr("is a text and must be a row of uint8")));
  EXPECT_THAT(folder.names(), ElementsAre());
}

TEST(Hdf5, UnfinishedFileLeavesTheOldOne) {
  const TemporaryFolder folder;
  test::write_bytes(folder / "a.h5", "old");
  {
    Hdf5Writer writer(folder / "a.h5", {{"/x", DType::int8, {3}}, {"/y", DType::int8, {1}}});
    writer.write_all(0, bytes_of(std::string("abc")));
    EXPECT_EQ(folder.names().size(), 2u);
    EXPECT_THAT([&] { writer.finish(); }, ThrowsMessage<Error>(HasSubstr("dataset '/y' was never written")));
    EXPECT_THAT([&] { writer.write(1, 1, bytes_of(std::string("a"))); },
                ThrowsMessage<Error>(HasSubstr("cannot write 1 bytes at byte 1 of dataset '/y'")));
    EXPECT_THAT([&] { writer.write_all(1, {}); },
                ThrowsMessage<Error>(HasSubstr("0 bytes for dataset '/y', expected 1")));
    EXPECT_THAT([&] { writer.set_hashes(1, {1, 2}); },
                ThrowsMessage<Error>(HasSubstr("2 hashes for dataset '/y' of 1 slabs")));
  }
  EXPECT_THAT(folder.names(), ElementsAre("a.h5"));
  EXPECT_EQ(test::read_bytes(folder / "a.h5"), "old");
}

TEST(Hdf5, FullDiskIsFoundBeforeTheWork) {
  const TemporaryFolder folder;
  const test::FileSizeLimit limit(100'000);
  EXPECT_THAT([&] { Hdf5Writer(folder / "a.h5", {{"/x", DType::float32, {1'000'000}}}); },
              ThrowsMessage<Error>(AllOf(HasSubstr(folder / "a.h5"), HasSubstr("File too large"))));
  EXPECT_THAT(folder.names(), ElementsAre());
}

std::string output_of(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
  std::string out;
  std::array<char, 4096> piece;
  while (const std::size_t count = std::fread(piece.data(), 1, piece.size(), pipe.get()))
    out.append(piece.data(), count);
  return out;
}

TEST(Hdf5, IsReadableByH5dump) {
  const TemporaryFolder folder;
  Hdf5Example().write(folder / "a.h5");
  const std::string all = output_of("h5dump " + (folder / "a.h5") + " 2>&1");
  if (all.find("not found") != std::string::npos) GTEST_SKIP() << "h5dump is not installed";
  EXPECT_THAT(all, HasSubstr("(0): 1, -2, 3.14062, inf"));  // bfloat16, printed with six digits
  EXPECT_THAT(all, HasSubstr("\"bfloat16\""));
  EXPECT_THAT(all, HasSubstr("\"float8_e4m3fn\""));
  EXPECT_THAT(all, HasSubstr("DATASET \"down_scale_inv\""));
  EXPECT_THAT(all, HasSubstr("(2,0,0): 3"));
}

// The space is there when the file is made, in one piece, and nobody writes zeros into it first.
TEST(Hdf5, DatasetsAreContiguousAllocatedEarlyAndNeverFilled) {
  const TemporaryFolder folder;
  const Hdf5Example example;
  example.write(folder / "a.h5");
  const std::string all = output_of("h5dump --properties --header " + (folder / "a.h5") + " 2>&1");
  if (all.find("not found") != std::string::npos) GTEST_SKIP() << "h5dump is not installed";
  for (const std::string property : {"CONTIGUOUS", "FILL_TIME H5D_FILL_TIME_NEVER", "H5D_ALLOC_TIME_EARLY"}) {
    std::size_t count = 0;
    for (std::size_t at = all.find(property); at != std::string::npos; at = all.find(property, at + 1)) ++count;
    EXPECT_EQ(count, example.plans.size()) << property << " of each dataset:\n" << all;
  }
}

}  // namespace
}  // namespace m2
