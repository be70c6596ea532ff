// SPDX-License-Identifier: Apache-2.0
#include "run_on_ranks.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "comm/startup/launcher.hpp"
#include "core/error.hpp"
#include "core/stop_signal.hpp"

namespace m2 {

int run_on_ranks(const std::string& program, const std::function<int(Session&)>& work) {
  install_stop_handler();
  const auto message = [&](const std::exception& error) { return fmt::format("{}: error: {}", program, error.what()); };
  try {
    Session session;
    try {
      return work(session);
    } catch (const UsageError& error) {
      session.fail(kBadUsage, message(error));
    } catch (const std::exception& error) {
      session.fail(kFailed, message(error));
    }
  } catch (const UsageError& error) {  // the processes do not find each other: all come here
    if (read_launch().rank == 0) fmt::print(stderr, "{}\n", message(error));
    return kBadUsage;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", message(error));
    return kFailed;
  }
}

}  // namespace m2
