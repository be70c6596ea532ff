// SPDX-License-Identifier: Apache-2.0
#pragma once

#if __has_include(<fmt/base.h>)  // since fmt 11, where core.h is all of format.h
#include <fmt/base.h>
#else
#include <fmt/core.h>
#endif

#include <stdexcept>
#include <string>

namespace m2 {

/// What every part of KokkosM2 throws. The message stands alone: it names the file and place, what was found, what was
/// expected and what to do.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A bad deck or command line: the programs end with code 2 instead of 1.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// Formatting is compiled once, in error.cpp: most sources of the library include this header.
[[noreturn]] void raise_formatted(fmt::string_view format, fmt::format_args args);
[[noreturn]] void raise_usage_formatted(fmt::string_view format, fmt::format_args args);

/// The text of a checked format; fmt 9 converts it, and fmt 12 prefers get().
template <class Format>
fmt::string_view format_text(const Format& format) {
  if constexpr (requires { format.get(); }) {
    return format.get();
  } else {
    return format;
  }
}

/// Throws Error with the formatted message. The compiler checks the format.
template <class... Args>
[[noreturn]] void raise(fmt::format_string<Args...> format, Args&&... args) {
  raise_formatted(format_text(format), fmt::make_format_args(args...));
}

/// Throws UsageError with the formatted message.
template <class... Args>
[[noreturn]] void raise_usage(fmt::format_string<Args...> format, Args&&... args) {
  raise_usage_formatted(format_text(format), fmt::make_format_args(args...));
}

}  // namespace m2

/// Throws m2::Error with the formatted message unless `condition` holds. The message is built only on failure.
#define M2_REQUIRE(condition, ...)              \
  do {                                          \
    if (!(condition)) ::m2::raise(__VA_ARGS__); \
  } while (false)
