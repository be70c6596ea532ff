// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/dtype.hpp"
#include "io/file.hpp"
#include "io/tensor_entry.hpp"

namespace m2 {

/// A dataset to be written to a checkpoint file (docs/checkpoint.md). Its first axis is divided into `num_slabs` equal
/// slabs, each with its own hash, so that a reader of some slabs can verify them alone. Text is a row of uint8.
struct Hdf5DatasetPlan {
  std::string path;  ///< "/model/norm"
  DType dtype{};
  std::vector<std::int64_t> shape;
  std::int64_t num_slabs = 1;
  bool is_text = false;
};

/// The plan of a text of `size_bytes` (at least 1).
Hdf5DatasetPlan text_plan(std::string path, std::uint64_t size_bytes);

/// A dataset in a checkpoint file.
struct Hdf5Dataset : TensorEntry {
  std::int64_t num_slabs = 1;
  bool is_text = false;
  std::vector<std::uint64_t> hashes = {};  ///< XXH3-64 of each slab

  std::uint64_t slab_bytes() const { return size_bytes / std::uint64_t(num_slabs); }
};

/// Datasets of at least this size begin at a multiple of it: the usual stripe of parallel file systems.
inline constexpr std::uint64_t kDefaultAlignmentBytes = std::uint64_t{1} << 20;
inline constexpr std::uint64_t kMinAlignmentBytes = std::uint64_t{1} << 12, kMaxAlignmentBytes = std::uint64_t{1} << 30;

/// Writes one checkpoint file whose datasets are known beforehand. The file appears under its name at finish(); without
/// it nothing is left behind. Calls for different datasets, and write() of any, may come from many threads at once.
/// Several processes can write one file: one creates it, the others join.
class Hdf5Writer {
 public:
  /// Creates every dataset. Throws Error for a bad plan, for an alignment that is no power of two in the range above,
  /// or when the disk has no room for the whole file.
  Hdf5Writer(const std::string& path, const std::vector<Hdf5DatasetPlan>& datasets,
             std::uint64_t alignment_bytes = kDefaultAlignmentBytes);

  /// What join() needs to know in another process.
  std::string invitation() const;
  /// A writer of pieces of the same file. Its work ends with leave(); without it the file is removed.
  static Hdf5Writer join(const std::string& invitation);
  /// Flushes what was written here. Hashes and finish() are the creator's business.
  void leave();

  /// In the order of the plan.
  const std::vector<Hdf5Dataset>& datasets() const { return datasets_; }

  /// Writes a piece of datasets()[index], from `byte_offset` within it. The caller hands in hashes by set_hashes().
  void write(std::size_t index, std::uint64_t byte_offset, std::span<const std::byte> bytes) const;

  /// The hash64 of each slab of a dataset that was written piece by piece.
  void set_hashes(std::size_t index, std::vector<std::uint64_t> hashes);

  /// Writes a whole dataset and computes its hashes.
  void write_all(std::size_t index, std::span<const std::byte> bytes);

  /// Stores the hashes, writes the manifest, flushes the file and renames it. Throws Error naming a dataset that has no
  /// hashes yet.
  void finish();

 private:
  Hdf5Writer(std::vector<Hdf5Dataset> datasets, PendingFile pending);

  std::vector<Hdf5Dataset> datasets_;
  std::uint64_t user_block_bytes_ = 0;
  PendingFile pending_;
};

/// An open checkpoint file. Nothing is handed to libhdf5 before the file's manifest of checksums is verified: a
/// foreign, truncated or altered file is an Error that says which. May be read from many threads at once.
class Hdf5Reader {
 public:
  explicit Hdf5Reader(const std::string& path);
  /// The same file as seen from another process, which opened it and made `table`: the manifest and libhdf5 are left
  /// alone. Throws Error when the file is missing here or has another size.
  Hdf5Reader(const std::string& path, std::string_view table);

  /// For the constructor above.
  std::string table() const;

  const std::string& path() const { return file_.path(); }

  /// In the order they were planned in.
  const std::vector<Hdf5Dataset>& datasets() const { return datasets_; }

  /// nullptr if there is none.
  const Hdf5Dataset* find(std::string_view path) const;

  /// The text stored at `path`, verified. Throws Error if there is none.
  std::string text(std::string_view path) const;

  /// Reads `count` slabs into `out`, which has exactly their size, and verifies them. Throws Error with dataset and
  /// slab.
  void read_slabs(const Hdf5Dataset& dataset, std::int64_t first_slab, std::int64_t count,
                  std::span<std::byte> out) const;

  /// Reads one slab, a piece at a time, and compares its hash. Throws Error with dataset and slab.
  void verify_slab(const Hdf5Dataset& dataset, std::int64_t slab) const;

  /// Copies out.size() bytes from `byte_offset` within the dataset; the caller compares hashes itself.
  void read_bytes(const Hdf5Dataset& dataset, std::uint64_t byte_offset, std::span<std::byte> out) const;

  /// Has bytes fetched that will be read soon.
  void fetch(const Hdf5Dataset& dataset, std::uint64_t byte_offset, std::uint64_t size_bytes, Fetch how) const {
    file_.fetch(dataset.offset + byte_offset, size_bytes, how);
  }

 private:
  void require_hash(const Hdf5Dataset& dataset, std::int64_t slab, std::uint64_t found) const;

  File file_;
  std::vector<Hdf5Dataset> datasets_;
  std::unordered_map<std::string_view, std::size_t> index_;  // views of the paths in datasets_
};

}  // namespace m2
