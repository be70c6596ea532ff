// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.hpp"

namespace m2 {

/// Texts that any rank sends to rank 0 at any time. Construction and destruction are collective. A message may be of
/// any length; those of one rank arrive in the order they were sent.
class Mailbox {
 public:
  explicit Mailbox(Communicator& world);
  ~Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  /// Returns at once; rank 0 may send to itself.
  void send(std::string text);
  /// On rank 0: what has arrived since the last call. Elsewhere: nothing, and lets messages under way proceed.
  std::vector<std::string> poll();
  /// Collective: returns on rank 0 what was still under way when every rank has called it.
  std::vector<std::string> drain();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace m2
