// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "core/error.hpp"
#include "io/hash.hpp"
#include "io/hdf5.hpp"
#include "io/hdf5_library.hpp"
#include "io/hdf5_manifest.hpp"
#include "io/hdf5_table.hpp"

namespace m2 {
namespace {

constexpr std::size_t kRowPieceBytes = std::size_t{1} << 20;

// The datasets as libhdf5 finds them, in the order of the manifest's table. Both must describe the same places.
std::vector<Hdf5Dataset> match(std::vector<Hdf5Dataset> found, const Manifest& manifest, const std::string& path) {
  std::unordered_map<std::uint64_t, std::size_t> place_of;
  for (std::size_t i = 0; i < manifest.data.size(); ++i) place_of.emplace(manifest.data[i].offset, i);
  M2_REQUIRE(found.size() == manifest.data.size(), "'{}' is damaged: it has {} datasets, expected {}", path,
             found.size(), manifest.data.size());
  std::vector<Hdf5Dataset> datasets(found.size());
  for (Hdf5Dataset& dataset : found) {
    const auto place = place_of.find(dataset.offset);
    const bool matches = place != place_of.end() && manifest.data[place->second].size_bytes == dataset.size_bytes &&
                         datasets[place->second].name.empty();
    M2_REQUIRE(matches, "'{}' is damaged: dataset '{}' of {} bytes at byte {} is not in its table", path, dataset.name,
               dataset.size_bytes, dataset.offset);
    datasets[place->second] = std::move(dataset);
  }
  return datasets;
}

}  // namespace

Hdf5Reader::Hdf5Reader(const std::string& path) : file_(path, File::Mode::read) {
  const Manifest manifest = read_manifest(file_);
  datasets_ = match(read_hdf5(path, manifest.user_block_bytes), manifest, path);
  for (std::size_t i = 0; i < datasets_.size(); ++i) index_.emplace(datasets_[i].name, i);
}

Hdf5Reader::Hdf5Reader(const std::string& path, std::string_view table) : file_(path, File::Mode::read) {
  Hdf5Table parsed = parse_table(table);
  M2_REQUIRE(file_.size_bytes() == parsed.file_size_bytes,
             "'{}' has {} bytes here and {} where the first rank opened it: every rank must see the same file", path,
             file_.size_bytes(), parsed.file_size_bytes);
  datasets_ = std::move(parsed.datasets);
  for (std::size_t i = 0; i < datasets_.size(); ++i) index_.emplace(datasets_[i].name, i);
}

std::string Hdf5Reader::table() const { return table_text({path(), file_.size_bytes(), datasets_}); }

const Hdf5Dataset* Hdf5Reader::find(std::string_view path) const {
  const auto found = index_.find(path);
  return found == index_.end() ? nullptr : &datasets_[found->second];
}

std::string Hdf5Reader::text(std::string_view path) const {
  const Hdf5Dataset* const dataset = find(path);
  M2_REQUIRE(dataset != nullptr, "'{}' has no dataset '{}'", file_.path(), path);
  M2_REQUIRE(dataset->is_text, "'{}': dataset '{}' is not a text but {}", file_.path(), path, name(dataset->dtype));
  std::string text(dataset->size_bytes, '\0');
  read_slabs(*dataset, 0, dataset->num_slabs, std::as_writable_bytes(std::span(text)));
  return text;
}

void Hdf5Reader::read_slabs(const Hdf5Dataset& dataset, std::int64_t first_slab, std::int64_t count,
                            std::span<std::byte> out) const {
  const bool inside = first_slab >= 0 && count >= 0 && count <= dataset.num_slabs - first_slab;
  M2_REQUIRE(inside, "'{}': cannot read {} slabs from slab {} of dataset '{}', which has {}", file_.path(), count,
             first_slab, dataset.name, dataset.num_slabs);
  const std::uint64_t slab_bytes = dataset.slab_bytes();
  M2_REQUIRE(out.size() == slab_bytes * std::uint64_t(count),
             "'{}': {} slabs of dataset '{}' have {} bytes, but there is room for {}", file_.path(), count,
             dataset.name, slab_bytes * std::uint64_t(count), out.size());
  const auto first = std::uint64_t(first_slab);
  file_.read_at(dataset.offset + first * slab_bytes, out);
  for (std::uint64_t i = 0; i < std::uint64_t(count); ++i) {
    require_hash(dataset, std::int64_t(first + i), hash64(out.subspan(i * slab_bytes, slab_bytes)));
  }
}

void Hdf5Reader::verify_slab(const Hdf5Dataset& dataset, std::int64_t slab) const {
  const std::uint64_t slab_bytes = dataset.slab_bytes();
  std::vector<std::byte> piece(std::min<std::uint64_t>(kRowPieceBytes, slab_bytes));
  Hash64 hash;
  for (std::uint64_t at = 0; at < slab_bytes; at += piece.size()) {
    const std::span out = std::span(piece).first(std::min<std::uint64_t>(piece.size(), slab_bytes - at));
    read_bytes(dataset, std::uint64_t(slab) * slab_bytes + at, out);
    hash.update(out);
  }
  require_hash(dataset, slab, hash.digest());
}

void Hdf5Reader::require_hash(const Hdf5Dataset& dataset, std::int64_t slab, std::uint64_t found) const {
  M2_REQUIRE(found == dataset.hashes[std::size_t(slab)],
             "'{}' is altered or damaged: slab {} of {} of dataset '{}' differs from what was written: copy it again",
             file_.path(), slab, dataset.num_slabs, dataset.name);
}

void Hdf5Reader::read_bytes(const Hdf5Dataset& dataset, std::uint64_t byte_offset, std::span<std::byte> out) const {
  M2_REQUIRE(byte_offset <= dataset.size_bytes && out.size() <= dataset.size_bytes - byte_offset,
             "'{}': cannot read {} bytes from byte {} of dataset '{}', which has {}", file_.path(), out.size(),
             byte_offset, dataset.name, dataset.size_bytes);
  file_.read_at(dataset.offset + byte_offset, out);
}

}  // namespace m2
