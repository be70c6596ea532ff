// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5_manifest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "core/error.hpp"
#include "io/hash.hpp"

namespace m2 {
namespace {

static_assert(std::endian::native == std::endian::little, "the manifest's numbers are stored as they are in memory");
static_assert(sizeof(Extent) == 16, "the table is stored as it is in memory");

constexpr std::array kMagic{'K', 'o', 'k', 'k', 'o', 's', 'M', '2'};
constexpr std::uint64_t kVersion = 1;
constexpr std::uint64_t kMinUserBlockBytes = 512;         // HDF5's least
constexpr std::uint64_t kMaxUserBlockBytes = 1ull << 30;  // the largest alignment
constexpr std::uint64_t kMaxDatasets = 1ull << 22;
constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

struct ManifestHeader {
  std::array<char, 8> magic = kMagic;
  std::uint64_t version = kVersion;
  std::uint64_t user_block_bytes = 0;
  std::uint64_t file_size_bytes = 0;
  std::uint64_t num_datasets = 0;
  std::uint64_t rest_hash = 0;   // of the file without user block and data
  std::uint64_t block_hash = 0;  // of the user block, with zero in this place
};
static_assert(sizeof(ManifestHeader) == 56);

std::vector<Extent> sorted(std::vector<Extent> extents) {
  std::ranges::sort(extents, {}, &Extent::offset);
  return extents;
}

void hash_range(const File& file, std::uint64_t begin, std::uint64_t end, Hash64& hash) {
  std::vector<std::byte> piece(std::min<std::uint64_t>(kPieceBytes, end - begin));
  while (begin < end) {
    const std::span out = std::span(piece).first(std::min<std::uint64_t>(piece.size(), end - begin));
    file.read_at(begin, out);
    hash.update(out);
    begin += out.size();
  }
}

std::uint64_t hash_rest(const File& file, const Manifest& manifest, std::uint64_t file_size_bytes) {
  Hash64 hash;
  std::uint64_t begin = manifest.user_block_bytes;
  for (const Extent& extent : sorted(manifest.data)) {
    hash_range(file, begin, extent.offset, hash);
    begin = extent.offset + extent.size_bytes;
  }
  hash_range(file, begin, file_size_bytes, hash);
  return hash.digest();
}

// Of the user block: `header` as if its own hash were zero, and what lies behind it in the file.
std::uint64_t hash_block(const File& file, ManifestHeader header) {
  header.block_hash = 0;
  Hash64 hash;
  hash.update(std::as_bytes(std::span(&header, 1)));
  hash_range(file, sizeof(header), header.user_block_bytes, hash);
  return hash.digest();
}

std::string printable(std::span<const char> bytes) {
  std::string text;
  for (const char c : bytes)
    text += c >= ' ' && c <= '~' ? std::string(1, c) : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return text;
}

ManifestHeader read_header(const File& file, std::uint64_t file_size_bytes) {
  ManifestHeader header;
  const auto available = std::min<std::uint64_t>(file_size_bytes, sizeof(header));
  header.magic.fill('\0');
  file.read_at(0, std::as_writable_bytes(std::span(&header, 1)).first(available));
  const auto magic_bytes = std::min<std::uint64_t>(file_size_bytes, kMagic.size());
  M2_REQUIRE(
      header.magic == kMagic,
      "'{}' is not a KokkosM2 checkpoint: it begins with '{}', expected '{}'; convert a Hugging Face checkpoint with "
      "m2-convert import",
      file.path(), printable(std::span(header.magic).first(magic_bytes)), printable(kMagic));
  M2_REQUIRE(available == sizeof(header), "'{}' is truncated: it has {} bytes, expected at least {}: copy it again",
             file.path(), file_size_bytes, sizeof(header));
  M2_REQUIRE(
      header.version == kVersion,
      "'{}' has version {} of the checkpoint format, expected {}: use the KokkosM2 that wrote it, or import again",
      file.path(), header.version, kVersion);
  M2_REQUIRE(header.file_size_bytes <= file_size_bytes,
             "'{}' is truncated: it has {} bytes, expected {}: copy it again", file.path(), file_size_bytes,
             header.file_size_bytes);
  M2_REQUIRE(header.file_size_bytes == file_size_bytes, "'{}' is altered: it has {} bytes, expected {}: copy it again",
             file.path(), file_size_bytes, header.file_size_bytes);
  return header;
}

[[noreturn]] void raise_altered(const File& file, std::string_view where) {
  raise("'{}' is altered or damaged: {} differs from what was written: copy it again", file.path(), where);
}

void check_extents(const File& file, const Manifest& manifest, std::uint64_t file_size_bytes) {
  std::uint64_t begin = manifest.user_block_bytes;
  for (const Extent& extent : sorted(manifest.data)) {
    const bool inside = extent.offset >= begin && extent.offset <= file_size_bytes && extent.size_bytes > 0 &&
                        extent.size_bytes <= file_size_bytes - extent.offset;
    M2_REQUIRE(inside, "'{}' is damaged: the data of {} bytes at byte {} overlap others or leave the file's {} bytes",
               file.path(), extent.size_bytes, extent.offset, file_size_bytes);
    begin = extent.offset + extent.size_bytes;
  }
}

}  // namespace

std::uint64_t user_block_size(std::uint64_t num_datasets, std::uint64_t min_bytes) {
  M2_REQUIRE(num_datasets <= kMaxDatasets, "{} datasets are too many for one checkpoint file: it holds {}",
             num_datasets, kMaxDatasets);
  return std::bit_ceil(
      std::max({sizeof(ManifestHeader) + num_datasets * sizeof(Extent), min_bytes, kMinUserBlockBytes}));
}

void write_manifest(const File& file, const Manifest& manifest) {
  ManifestHeader header;
  header.user_block_bytes = manifest.user_block_bytes;
  header.file_size_bytes = file.size_bytes();
  header.num_datasets = manifest.data.size();
  header.rest_hash = hash_rest(file, manifest, header.file_size_bytes);

  // Behind the table the block is as the new file was: zeros.
  file.write_at(sizeof(header), std::as_bytes(std::span(manifest.data)));
  header.block_hash = hash_block(file, header);
  file.write_at(0, std::as_bytes(std::span(&header, 1)));
}

bool has_manifest(const File& file) {
  std::array<char, kMagic.size()> found{};
  return file.read_some(std::as_writable_bytes(std::span(found))) == found.size() && found == kMagic;
}

Manifest read_manifest(const File& file) {
  const std::uint64_t file_size_bytes = file.size_bytes();
  const ManifestHeader header = read_header(file, file_size_bytes);
  const std::uint64_t block_bytes = header.user_block_bytes;
  const bool plausible = std::has_single_bit(block_bytes) && block_bytes >= kMinUserBlockBytes &&
                         block_bytes <= std::min(kMaxUserBlockBytes, file_size_bytes) &&
                         header.num_datasets <= (block_bytes - sizeof(header)) / sizeof(Extent) &&
                         header.num_datasets <= kMaxDatasets;
  if (!plausible || hash_block(file, header) != header.block_hash) raise_altered(file, "the beginning of the file");

  Manifest manifest{block_bytes, std::vector<Extent>(header.num_datasets)};
  file.read_at(sizeof(header), std::as_writable_bytes(std::span(manifest.data)));
  check_extents(file, manifest, file_size_bytes);
  if (hash_rest(file, manifest, file_size_bytes) != header.rest_hash)
    raise_altered(file, "the description of the datasets");
  return manifest;
}

}  // namespace m2
