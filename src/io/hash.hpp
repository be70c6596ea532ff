// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace m2 {

/// XXH3 with 64 bits (github.com/Cyan4973/xxHash), fed piece by piece: however the bytes are cut, the digest is the
/// same. It notices accidents (a flipped bit, a lost block); it is no protection against a forger.
class Hash64 {
 public:
  Hash64();

  void update(std::span<const std::byte> bytes);

  /// The hash of everything so far; more may follow.
  std::uint64_t digest() const;

 private:
  struct State;
  struct Release {
    void operator()(State* state) const;
  };
  std::unique_ptr<State, Release> state_;
};

/// The same of bytes that lie in one piece.
std::uint64_t hash64(std::span<const std::byte> bytes);

}  // namespace m2
