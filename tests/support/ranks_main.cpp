// SPDX-License-Identifier: Apache-2.0
// The main function of every test program that runs as several ranks. Rank 0 prints the course of the tests, the others
// only what fails; the program fails when any rank does.
#include <gtest/gtest.h>

#include <Kokkos_Core.hpp>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <span>
#include <string>

#include "support/label_check.hpp"
#include "support/ranks.hpp"

namespace m2::test {
namespace {

Session* g_session = nullptr;

class FailurePrinter : public ::testing::EmptyTestEventListener {
  void OnTestStart(const ::testing::TestInfo& test) override {
    test_ = std::string(test.test_suite_name()) + "." + test.name();  // cannot be asked for while a failure is reported
  }
  void OnTestPartResult(const ::testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::fprintf(stderr, "%s%s: %s:%d: %s\n", session().who().c_str(), test_.c_str(),
                 result.file_name() == nullptr ? "" : result.file_name(), result.line_number(), result.message());
  }

  std::string test_;
};

int run_tests(int argc, char** argv) {
  Kokkos::ScopeGuard kokkos(argc, argv);
  check_labels();
  if (session().rank() != 0) {
    auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new FailurePrinter);
  }
  const std::int64_t failed = RUN_ALL_TESTS() != 0 ? 1 : 0;
  return int(session().world().max_values(std::span(&failed, 1))[0]);
}

}  // namespace

Session& session() { return *g_session; }

}  // namespace m2::test

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  GTEST_FLAG_SET(catch_exceptions,
                 false);  // a rank that goes on to the next test would let the others wait in this one
  m2::Session session;
  m2::test::g_session = &session;
  try {
    return m2::test::run_tests(argc, argv);
  } catch (const std::exception& error) {
    session.fail(1, error.what());
  }
}
