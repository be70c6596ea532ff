// SPDX-License-Identifier: Apache-2.0
// A checkpoint file: any bytes open as one, and then all its datasets can be read, or give an Error. Random bytes end
// at the hashes of the manifest, so the input is also taken as changes to the manifest of a small whole file, with
// hashes that are right again. libhdf5 sees its own descriptions as it wrote them: they are not what it must be trusted
// with.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz/scratch_file.hpp"
#include "io/file.hpp"
#include "io/hash.hpp"
#include "io/hdf5.hpp"
#include "io/hdf5_manifest.hpp"

namespace {

// Places in the manifest (docs/checkpoint.md).
constexpr std::size_t kBlockBytesAt = 16, kBlockHashAt = 48, kTableAt = 56;
constexpr std::size_t kNumDatasets = 3;
constexpr std::size_t kTableEnd = kTableAt + kNumDatasets * sizeof(m2::Extent);

// Text, a matrix and two experts.
std::string whole_file(const std::string& path) {
  m2::Hdf5Writer writer(path, {m2::text_plan("/config", 13),
                               {"/model/norm", m2::DType::bfloat16, {4}},
                               {"/model/experts", m2::DType::float8_e4m3fn, {2, 3}, 2}});
  for (std::size_t i = 0; i < kNumDatasets; ++i) {
    writer.write_all(i, std::vector<std::byte>(writer.datasets()[i].size_bytes, std::byte(i + 1)));
  }
  writer.finish();
  return m2::read_text_file(path);
}

void put(std::string& bytes, std::size_t offset, std::uint64_t number) {
  std::memcpy(bytes.data() + offset, &number, sizeof(number));
}

std::uint64_t number_at(const std::string& bytes, std::size_t offset) {
  std::uint64_t number = 0;
  std::memcpy(&number, bytes.data() + offset, sizeof(number));
  return number;
}

// What the user block says, with its hash.
std::string with_block_hash(std::string bytes) {
  const std::uint64_t block_bytes = std::min<std::uint64_t>(number_at(bytes, kBlockBytesAt), bytes.size());
  if (block_bytes < kTableAt) return bytes;
  put(bytes, kBlockHashAt, 0);
  put(bytes, kBlockHashAt, m2::hash64(std::as_bytes(std::span(bytes)).first(block_bytes)));
  return bytes;
}

// Sorted: the order of the table is the order of the plan, which may be any.
std::vector<m2::Extent> table_of(const std::string& bytes) {
  std::vector<m2::Extent> extents(kNumDatasets);
  std::memcpy(extents.data(), bytes.data() + kTableAt, kTableEnd - kTableAt);
  std::ranges::sort(extents, {}, [](const m2::Extent& extent) { return std::pair(extent.offset, extent.size_bytes); });
  return extents;
}

std::string with_sorted_table(std::string bytes) {
  std::memcpy(bytes.data() + kTableAt, table_of(bytes).data(), kTableEnd - kTableAt);
  return with_block_hash(std::move(bytes));
}

// Inside the file and apart from one another: what write_manifest() may be asked for.
bool are_apart(const std::vector<m2::Extent>& sorted, std::uint64_t begin, std::uint64_t end) {
  return std::ranges::all_of(sorted, [&](const m2::Extent& extent) {
    if (extent.offset < begin || extent.offset > end || extent.size_bytes > end - extent.offset) return false;
    begin = extent.offset + extent.size_bytes;
    return true;
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const m2::fuzz::ScratchFile file;
  static const std::string whole = whole_file(file.path());
  file.write({reinterpret_cast<const char*>(data), size});
  file.open_and_read();

  std::string changed = whole;
  for (std::size_t i = 0; i < std::min(size, kTableEnd); ++i) changed[i] = char(changed[i] ^ data[i]);
  file.write(with_block_hash(changed));
  if (file.open_and_read() != (with_sorted_table(changed) == with_sorted_table(whole))) std::abort();

  // The same table with all hashes right: now it is its difference from what libhdf5 finds that must be noticed.
  const m2::Manifest manifest{number_at(whole, kBlockBytesAt), table_of(changed)};
  if (!are_apart(manifest.data, manifest.user_block_bytes, whole.size())) return 0;
  file.write(whole);
  m2::write_manifest(m2::File(file.path(), m2::File::Mode::update), manifest);
  const auto right = table_of(whole);
  const bool is_right = std::memcmp(manifest.data.data(), right.data(), kTableEnd - kTableAt) == 0;
  if (file.open_and_read() != is_right) std::abort();
  return 0;
}
