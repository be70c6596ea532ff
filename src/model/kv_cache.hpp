// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "config/minimax_m2_config.hpp"
#include "core/views.hpp"
#include "kernels/attention/kv_cache.hpp"

namespace m2 {

/// Keys and values of past tokens, in pages of kKvPage positions which sequences take from one pool. A sequence is a
/// row of the page table; rows are reused when a sequence is removed.
class KVCache {
 public:
  /// Room for `num_pages` pages shared by at most `max_sequences` sequences of at most `max_length` positions each.
  /// `dtype` is float32 or bfloat16. Throws Error for sizes below 1.
  KVCache(const ExecSpace& exec, const MiniMaxM2Config& config, DType dtype, std::int64_t num_pages, int max_sequences,
          std::int64_t max_length);

  /// Bytes of one page in all layers.
  static std::int64_t page_bytes(const MiniMaxM2Config& config, DType dtype);
  static std::int64_t pages_for(std::int64_t num_positions) { return (num_positions + kKvPage - 1) / kKvPage; }

  /// Takes a free row. Throws Error when all `max_sequences` are in use.
  int add_sequence();
  /// Gives the row and its pages back.
  void remove_sequence(int sequence);
  /// Makes room for `length` positions in all. Returns false, and changes nothing, when the pool has too few pages
  /// left. Throws Error when `length` exceeds max_length.
  bool reserve(int sequence, std::int64_t length);
  /// Positions filled so far.
  std::int64_t length(int sequence) const { return lengths_.at(sequence); }
  void set_length(int sequence, std::int64_t length);

  std::int64_t num_free_pages() const { return std::int64_t(free_pages_.size()); }
  std::int64_t num_pages() const { return num_pages_; }
  DType dtype() const { return dtype_; }

  /// The page table on the device, brought up to date on `exec`.
  View2D<const int> page_table(const ExecSpace& exec);

  /// Storage of one layer. Throws Error when T is not the cache's dtype.
  template <class T>
  KvPages<T> layer(int layer) const;

 private:
  DType dtype_;
  int num_layers_;
  std::int64_t num_pages_;
  std::int64_t max_length_;
  View1D<std::byte> storage_;
  std::int64_t layer_elements_;
  int num_kv_heads_;
  int head_dim_;
  std::vector<int> free_pages_;
  std::vector<int> free_sequences_;
  std::vector<std::vector<int>> pages_;  // by sequence
  std::vector<std::int64_t> lengths_;
  HostView2D<int> host_table_;
  View2D<int> device_table_;
  bool table_changed_ = true;
};

}  // namespace m2
