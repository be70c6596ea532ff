// SPDX-License-Identifier: Apache-2.0
#include "io/hash.hpp"

#include <xxhash.h>

#include <new>

namespace m2 {

struct Hash64::State {
  XXH3_state_t* xxh3;
};

void Hash64::Release::operator()(State* state) const {
  XXH3_freeState(state->xxh3);
  delete state;
}

Hash64::Hash64() : state_(new State{XXH3_createState()}) {
  if (state_->xxh3 == nullptr) throw std::bad_alloc();
  XXH3_64bits_reset(state_->xxh3);
}

void Hash64::update(std::span<const std::byte> bytes) { XXH3_64bits_update(state_->xxh3, bytes.data(), bytes.size()); }

std::uint64_t Hash64::digest() const { return XXH3_64bits_digest(state_->xxh3); }

std::uint64_t hash64(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace m2
