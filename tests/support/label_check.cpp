// SPDX-License-Identifier: Apache-2.0
#include "support/label_check.hpp"

#include <gtest/gtest.h>

#include <Kokkos_Core.hpp>
#include <set>
#include <string>
#include <string_view>

#include "support/exec.hpp"

namespace m2::test {
namespace {

namespace tools = Kokkos::Tools::Experimental;

std::set<std::string> g_breaches;
std::uint32_t g_device_id = 0;

// Kokkos' own helpers behind deep_copy and View allocation, Kokkos Kernels, and the test programs themselves, are not
// ours to name.
bool is_foreign(std::string_view label) {
  return label.starts_with("Kokkos::") || label.starts_with("KokkosBlas::") || label.starts_with("test::");
}

void check_kernel(const char* label, std::uint32_t device_id, std::uint64_t*) {
  if (is_foreign(label)) return;
  if (!std::string_view(label).starts_with("m2::")) g_breaches.insert("kernel label '" + std::string(label) + "'");
  if (device_id != g_device_id)
    g_breaches.insert("kernel '" + std::string(label) + "' ran on another instance than the one passed");
}

void check_allocation(Kokkos_Profiling_SpaceHandle, const char* label, const void*, std::uint64_t) {
  const std::string_view view(label);
  // Kokkos allocates scratch and mirrors under its own names; KokkosBlas under its own.
  if (view.empty() || is_foreign(view) || view.starts_with("m2::") || view.starts_with("OpenMP::")) return;
  g_breaches.insert("View label '" + std::string(view) + "'");
}

class LabelCheck : public ::testing::Environment {
 public:
  void SetUp() override {
    g_device_id = tools::device_id(exec());
    tools::set_begin_parallel_for_callback(check_kernel);
    tools::set_begin_parallel_reduce_callback(check_kernel);
    tools::set_begin_parallel_scan_callback(check_kernel);
    tools::set_allocate_data_callback(check_allocation);
  }
  void TearDown() override {
    tools::set_begin_parallel_for_callback(nullptr);
    tools::set_begin_parallel_reduce_callback(nullptr);
    tools::set_begin_parallel_scan_callback(nullptr);
    tools::set_allocate_data_callback(nullptr);
    for (const std::string& breach : g_breaches) ADD_FAILURE() << breach << ": see docs/architecture.md, kernels";
    release_exec();
  }
};

}  // namespace

void check_labels() { ::testing::AddGlobalTestEnvironment(new LabelCheck); }

}  // namespace m2::test
