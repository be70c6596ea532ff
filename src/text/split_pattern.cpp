// SPDX-License-Identifier: Apache-2.0
#include "text/split_pattern.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <new>

#include "core/error.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace m2 {
namespace {

constexpr std::size_t kMaxPatternBytes = 65536;
constexpr std::size_t kJitStackStartBytes = 32 << 10;
constexpr std::size_t kJitStackMaxBytes = 64 << 20;
constexpr std::uint32_t kHeapLimitKibibytes = 512 << 10;  // for the interpreter, where a pattern has no JIT code
// Steps allowed for one match: a constant, so that a catastrophic pattern ends in well under a second, and some per
// byte, because backtracking over one long run (1 MB of 'A') is honest work.
constexpr std::uint64_t kMatchLimitBase = 10'000'000;
constexpr std::uint64_t kMatchLimitPerByte = 16;
constexpr std::uint64_t kMatchLimitMax = 4'000'000'000;

template <auto function>
struct Free {
  template <class T>
  void operator()(T* pointer) const {
    function(pointer);
  }
};
template <class T, auto function>
using Owned = std::unique_ptr<T, Free<function>>;

std::string pcre2_message(int code) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

// PCRE2's \s has one character more than Unicode's white space, which Oniguruma (the engine of the `tokenizers`
// library) means: U+180E.
std::string with_unicode_white_space(std::string_view pattern) {
  std::string out;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '\\' || i + 1 == pattern.size()) {
      out += pattern[i];
      continue;
    }
    const char escaped = pattern[++i];
    if (escaped == 's') {
      out += "\\p{White_Space}";
    } else if (escaped == 'S') {
      out += "\\P{White_Space}";
    } else {
      out += {'\\', escaped};
    }
  }
  return out;
}

template <class T>
T* not_null(T* pointer) {
  if (pointer == nullptr) throw std::bad_alloc();
  return pointer;
}

}  // namespace

struct SplitPattern::Regex {
  Owned<pcre2_code, pcre2_code_free> code;
  Owned<pcre2_match_context, pcre2_match_context_free> context;
  Owned<pcre2_match_data, pcre2_match_data_free> data;
  Owned<pcre2_jit_stack, pcre2_jit_stack_free> jit_stack;
};

SplitPattern::SplitPattern(std::string_view pattern, Unmatched unmatched, const std::string& where)
    : regex_(std::make_unique<Regex>()), unmatched_(unmatched) {
  M2_REQUIRE(pattern.size() <= kMaxPatternBytes, "{} has {} bytes; at most {} are read", where, pattern.size(),
             kMaxPatternBytes);
  const std::string translated = with_unicode_white_space(pattern);
  int code = 0;
  PCRE2_SIZE offset = 0;
  regex_->code.reset(pcre2_compile(units(translated), translated.size(),
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &offset, nullptr));
  M2_REQUIRE(regex_->code, "{} is not a regular expression that PCRE2 {}.{} reads: {} before '{}'", where, PCRE2_MAJOR,
             PCRE2_MINOR, pcre2_message(code), translated.substr(std::min(offset, translated.size())));
  // Without JIT code (an unusual pattern or machine) PCRE2 interprets the pattern: slower, same matches.
  pcre2_jit_compile(regex_->code.get(), PCRE2_JIT_COMPLETE);
  regex_->context.reset(not_null(pcre2_match_context_create(nullptr)));
  regex_->data.reset(not_null(pcre2_match_data_create(1, nullptr)));
  regex_->jit_stack.reset(pcre2_jit_stack_create(kJitStackStartBytes, kJitStackMaxBytes, nullptr));
  pcre2_jit_stack_assign(regex_->context.get(), nullptr, regex_->jit_stack.get());
  pcre2_set_heap_limit(regex_->context.get(), kHeapLimitKibibytes);
}

SplitPattern::SplitPattern(SplitPattern&&) noexcept = default;
SplitPattern& SplitPattern::operator=(SplitPattern&&) noexcept = default;
SplitPattern::~SplitPattern() = default;

void SplitPattern::split(std::string_view text, std::vector<std::string_view>& pieces) {
  pieces.clear();
  const std::uint64_t match_limit = std::min(kMatchLimitBase + kMatchLimitPerByte * text.size(), kMatchLimitMax);
  pcre2_set_match_limit(regex_->context.get(), std::uint32_t(match_limit));
  const PCRE2_SIZE* const range = pcre2_get_ovector_pointer(regex_->data.get());
  std::size_t done = 0, from = 0;  // everything before `done` is in `pieces` or dropped
  const auto add_unmatched = [&](std::size_t end) {
    if (unmatched_ == Unmatched::keep && end > done) pieces.push_back(text.substr(done, end - done));
  };
  while (from < text.size()) {
    const int result = pcre2_match(regex_->code.get(), units(text), text.size(), from, PCRE2_NO_UTF_CHECK,
                                   regex_->data.get(), regex_->context.get());
    if (result == PCRE2_ERROR_NOMATCH) break;
    // 0: more groups than the match data holds; the whole match, which is all that is asked for, is there.
    M2_REQUIRE(result >= 0,
               "the split pattern of the tokenizer failed at byte {} of a text of {} bytes: PCRE2 error {} ({})", from,
               text.size(), result, pcre2_message(result));
    const std::size_t begin = range[0], end = range[1];
    M2_REQUIRE(
        begin >= done && end >= begin && end <= text.size(),
        "the split pattern of the tokenizer matched bytes {} to {} after byte {}: patterns with \\K are not supported",
        begin, end, done);
    add_unmatched(begin);
    if (end > begin) pieces.push_back(text.substr(begin, end - begin));
    done = end;
    from = end;
    if (end == begin) {  // an empty match: search on from the next code point
      do ++from;
      while (from < text.size() && (static_cast<unsigned char>(text[from]) & 0xC0) == 0x80);
    }
  }
  add_unmatched(text.size());
}

}  // namespace m2
