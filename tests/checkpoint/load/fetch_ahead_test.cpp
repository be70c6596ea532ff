// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/load/fetch_ahead.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>

namespace m2 {
namespace {

// Holds nothing, and remembers what was fetched.
class FetchedSource final : public TensorSource {
 public:
  FetchedSource() : TensorSource("nowhere", MiniMaxM2Config()) {}

  void read(const StoredTensor&, std::uint64_t, std::span<std::byte>) const override {
    ADD_FAILURE() << "that is for others";
  }
  void fetch(const StoredTensor& tensor, std::uint64_t byte_offset, std::uint64_t size_bytes,
             Fetch how) const override {
    EXPECT_EQ(how, Fetch::finish);
    const std::lock_guard lock(mutex_);
    if (tensor.name != last_ || byte_offset != end_) text_ += tensor.name + std::to_string(byte_offset >> 20) + " ";
    last_ = tensor.name;
    end_ = byte_offset + size_bytes;
    bytes_ += size_bytes;
    changed_.notify_one();
  }

  // Whether so much is fetched within ten seconds, and no more within a twentieth.
  bool stops_at(std::uint64_t bytes) const {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(10), [&] { return bytes_ >= bytes; })) return false;
    return !changed_.wait_for(lock, std::chrono::milliseconds(50), [&] { return bytes_ > bytes; });
  }

  std::uint64_t bytes() const {
    const std::lock_guard lock(mutex_);
    return bytes_;
  }

  // Where it began anew, in MiB.
  std::string beginnings() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  mutable std::string text_, last_;
  mutable std::uint64_t end_ = 0, bytes_ = 0;
};

StoredTensor tensor_of_mib(const std::string& name, std::int64_t num_slabs, std::int64_t slab_mib) {
  StoredTensor tensor;
  tensor.name = name;
  tensor.shape = {num_slabs, slab_mib, 1 << 20};
  tensor.dtype = DType::float8_e4m3fn;
  return tensor;
}

TEST(FetchAhead, StaysOneWindowAheadOfTheReaders) {
  constexpr std::uint64_t kMib = std::uint64_t{1} << 20;
  const FetchedSource source;
  const StoredTensor a = tensor_of_mib("a", 1, 100), b = tensor_of_mib("b", 4, 3);
  Progress read("read", 0, "B", nullptr);
  const FetchAhead fetch(source, {{&a, 0}, {&b, 2}, {&b, 3}, {&b, 0}}, read);
  EXPECT_TRUE(source.stops_at(kFetchWindowBytes));
  read.add(std::int64_t(10 * kMib));
  EXPECT_TRUE(source.stops_at(kFetchWindowBytes + 10 * kMib));
  read.add(std::int64_t(99 * kMib));
  EXPECT_TRUE(source.stops_at(109 * kMib)) << "each slab once";
  EXPECT_EQ(source.beginnings(), "a0 b6 b0 ") << "in their order";
}

TEST(FetchAhead, EndsWhenReadingDoes) {
  const FetchedSource source;
  const StoredTensor large = tensor_of_mib("large", 1, 1000);
  const Progress read("read", 0, "B", nullptr);
  {
    const FetchAhead fetch(source, {{&large, 0}}, read);
  }  // hangs if its thread goes on waiting
  EXPECT_LE(source.bytes(), kFetchWindowBytes) << "fetched although nobody read";
}

}  // namespace
}  // namespace m2
