// SPDX-License-Identifier: Apache-2.0
#include "model/kv_cache.hpp"

#include "core/error.hpp"

namespace m2 {
namespace {

// A row beyond the table would be an access out of bounds on the device.
void require_sequence(int sequence, std::size_t max_sequences) {
  M2_REQUIRE(sequence >= 0 && std::size_t(sequence) < max_sequences,
             "KV cache: sequence {} does not exist, there are {}", sequence, max_sequences);
}

}  // namespace

KVCache::KVCache(const ExecSpace& exec, const MiniMaxM2Config& config, DType dtype, std::int64_t num_pages,
                 int max_sequences, std::int64_t max_length)
    : dtype_(dtype),
      num_layers_(config.num_hidden_layers),
      num_pages_(num_pages),
      max_length_(max_length),
      num_kv_heads_(config.num_key_value_heads),
      head_dim_(config.head_dim) {
  M2_REQUIRE(num_pages >= 1 && max_sequences >= 1 && max_length >= 1,
             "KV cache: pages {}, sequences {} and positions {} must all be at least 1", num_pages, max_sequences,
             max_length);
  M2_REQUIRE(dtype == DType::float32 || dtype == DType::bfloat16, "KV cache: dtype {} is not float32 or bfloat16",
             name(dtype));
  M2_REQUIRE(num_pages <= INT32_MAX, "KV cache: {} pages are more than a page number holds ({})", num_pages, INT32_MAX);
  layer_elements_ = num_pages * num_kv_heads_ * kKvPage * head_dim_;
  // Zeroed: a masked position is multiplied by zero, which must not meet a NaN of old memory.
  storage_ = View1D<std::byte>(Kokkos::view_alloc(exec, "m2::kv_cache"), num_pages * page_bytes(config, dtype));
  for (std::int64_t page = num_pages; page-- > 0;) free_pages_.push_back(int(page));
  for (int sequence = max_sequences; sequence-- > 0;) free_sequences_.push_back(sequence);
  pages_.resize(max_sequences);
  lengths_.resize(max_sequences);
  host_table_ = HostView2D<int>("m2::kv_cache::page_table_host", max_sequences, pages_for(max_length));
  device_table_ =
      View2D<int>(Kokkos::view_alloc(exec, "m2::kv_cache::page_table"), max_sequences, pages_for(max_length));
}

std::int64_t KVCache::page_bytes(const MiniMaxM2Config& config, DType dtype) {
  return 2 * std::int64_t(config.num_hidden_layers) * config.num_key_value_heads * kKvPage * config.head_dim *
         std::int64_t(size_bytes(dtype));
}

int KVCache::add_sequence() {
  M2_REQUIRE(!free_sequences_.empty(), "KV cache: all {} sequences are in use", pages_.size());
  const int sequence = free_sequences_.back();
  free_sequences_.pop_back();
  return sequence;
}

void KVCache::remove_sequence(int sequence) {
  require_sequence(sequence, pages_.size());
  std::vector<int>& pages = pages_[sequence];
  free_pages_.insert(free_pages_.end(), pages.rbegin(), pages.rend());
  pages.clear();
  lengths_[sequence] = 0;
  free_sequences_.push_back(sequence);
}

bool KVCache::reserve(int sequence, std::int64_t length) {
  require_sequence(sequence, pages_.size());
  M2_REQUIRE(length <= max_length_, "KV cache: a sequence of {} positions does not fit, at most {} do", length,
             max_length_);
  std::vector<int>& pages = pages_[sequence];
  const std::int64_t missing = pages_for(length) - std::int64_t(pages.size());
  if (missing > num_free_pages()) return false;
  for (std::int64_t i = 0; i < missing; ++i) {
    host_table_(sequence, pages.size()) = free_pages_.back();
    pages.push_back(free_pages_.back());
    free_pages_.pop_back();
    table_changed_ = true;
  }
  return true;
}

void KVCache::set_length(int sequence, std::int64_t length) {
  require_sequence(sequence, pages_.size());
  M2_REQUIRE(pages_for(length) <= std::int64_t(pages_[sequence].size()),
             "KV cache: {} positions were not reserved for sequence {}", length, sequence);
  lengths_[sequence] = length;
}

View2D<const int> KVCache::page_table(const ExecSpace& exec) {
  if (table_changed_) Kokkos::deep_copy(exec, device_table_, host_table_);
  table_changed_ = false;
  return device_table_;
}

template <class T>
KvPages<T> KVCache::layer(int layer) const {
  M2_REQUIRE(kDTypeOf<T> == dtype_, "KV cache: it holds {}, not {}", name(dtype_), name(kDTypeOf<T>));
  M2_REQUIRE(layer >= 0 && layer < num_layers_, "KV cache: layer {} does not exist, there are {}", layer, num_layers_);
  T* const k = reinterpret_cast<T*>(storage_.data()) + 2 * layer_elements_ * layer;
  return {.k_NGCP = View4D<T>(k, num_pages_, num_kv_heads_, head_dim_, kKvPage),
          .v_NGPC = View4D<T>(k + layer_elements_, num_pages_, num_kv_heads_, kKvPage, head_dim_)};
}

template KvPages<float> KVCache::layer<float>(int) const;
template KvPages<Bf16> KVCache::layer<Bf16>(int) const;

}  // namespace m2
