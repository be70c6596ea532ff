// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <regex>

#include "style/rules.hpp"

namespace m2::style {
namespace {

const std::vector<std::string> kLaunches{"parallel_for", "parallel_reduce", "parallel_scan"};

bool is_source_of_src(const File& file) {
  return file.path.starts_with("src/") && (file.path.ends_with(".cpp") || file.path.ends_with(".hpp"));
}

bool matches(const std::string& text, const char* pattern) { return std::regex_search(text, std::regex(pattern)); }

// A loop inside a kernel over the team's threads or a thread's lanes: no launch, so neither label nor instance.
bool is_nested(const Call& launch) {
  return !launch.arguments.empty() &&
         matches(launch.arguments[0], "^(Kokkos::)?(Team|Thread)(Thread|Vector)(MD)?Range\\s*[({<]");
}

// `exec`, `exec_`, `state.exec()`: by the house's naming, only an instance that was passed is called so.
bool is_instance(const std::string& argument) { return matches(argument, "^([A-Za-z_]\\w*(\\.|->))*exec_?(\\(\\))?$"); }

// `RowPolicy row_policy(const ExecSpace& exec, ...)` declares a function, whose body is looked at like any other.
bool is_parameter(const std::string& argument) { return matches(argument, "^const ExecSpace& exec$"); }

std::string place(const File& file, const std::string& code, std::size_t position) {
  return fmt::format("{}:{}", file.path, line_of(code, position));
}

// RangePolicy, TeamPolicy, MDRangePolicy and the file's own names for them.
std::vector<std::string> policy_names(const std::string& code) {
  std::vector<std::string> names{"RangePolicy", "TeamPolicy", "MDRangePolicy", "WorkGraphPolicy"};
  const std::regex alias("using\\s+(\\w+)\\s*=[^;]*\\b(Range|Team|MDRange)Policy\\b[^;:]*(<[^;]*>)?;");
  for (auto match = std::sregex_iterator(code.begin(), code.end(), alias); match != std::sregex_iterator(); ++match) {
    names.push_back((*match)[1]);
  }
  return names;
}

// Every literal of a label begins with m2::, unless it is appended to one that does or to `label`, which a caller gave.
bool labelled(const std::string& argument) {
  static const std::regex kLiteral("(\\+\\s*)?\"([^\"]*)\"");
  bool found = matches(argument, "\\blabel\\b");
  for (auto literal = std::sregex_iterator(argument.begin(), argument.end(), kLiteral);
       literal != std::sregex_iterator(); ++literal) {
    if ((*literal)[1].matched) continue;
    if (!(*literal)[2].str().starts_with("m2::")) return false;
    found = true;
  }
  return found;
}

}  // namespace

Breaches label_breaches(const File& file) {
  Breaches breaches;
  if (!is_source_of_src(file)) return breaches;
  const std::string code = without_comments(file.text);
  for (const Call& launch : calls(code, kLaunches)) {
    if (is_nested(launch) || (!launch.arguments.empty() && labelled(launch.arguments[0]))) continue;
    breaches.push_back(place(file, code, launch.position) + ": " + launch.name + " without a label \"m2::...\"");
  }
  for (const Call& view :
       calls(code, {"View", "View1D", "View2D", "View3D", "View4D", "HostView1D", "HostView2D", "DualView"})) {
    if (view.arguments.empty() || view.arguments[0].find('"') == std::string::npos || labelled(view.arguments[0]))
      continue;
    breaches.push_back(place(file, code, view.position) + ": View label " + view.arguments[0] + " is not \"m2::...\"");
  }
  for (const Call& alloc : calls(code, {"view_alloc"})) {
    const bool names_a_view = std::ranges::any_of(
        alloc.arguments, [](const std::string& a) { return labelled(a) || matches(a, "label|Space"); });
    const bool wrong_literal = std::ranges::any_of(
        alloc.arguments, [](const std::string& a) { return a.find('"') != std::string::npos && !labelled(a); });
    if (names_a_view && !wrong_literal) continue;
    breaches.push_back(place(file, code, alloc.position) + ": view_alloc without a label \"m2::...\"");
  }
  return breaches;
}

Breaches instance_breaches(const File& file) {
  Breaches breaches;
  if (!is_source_of_src(file)) return breaches;
  const std::string code = without_comments(file.text);
  const auto report = [&](const Call& call, const std::string& what) {
    breaches.push_back(place(file, code, call.position) + ": " + what);
  };
  for (const Call& policy : calls(code, policy_names(code))) {
    if (!policy.arguments.empty() && (is_instance(policy.arguments[0]) || is_parameter(policy.arguments[0]))) continue;
    report(policy, policy.name + " is not made with exec");
  }
  for (const Call& launch : calls(code, kLaunches)) {
    if (is_nested(launch) || launch.arguments.size() < 2) continue;
    // A bare count would run on the default instance. Policies are checked above, where they are made.
    if (!matches(launch.arguments[1], "exec|[Pp]olicy"))
      report(launch, launch.name + " without a policy made with exec");
  }
  for (const Call& copy : calls(code, {"deep_copy", "create_mirror_view_and_copy", "resize", "realloc"})) {
    const bool of_kokkos = code.substr(0, copy.position).ends_with("Kokkos::");
    if (!of_kokkos && copy.name != "deep_copy") continue;
    const bool on_instance =
        !copy.arguments.empty() &&
        (is_instance(copy.arguments[0]) || matches(copy.arguments[0], "^(Kokkos::)?view_alloc\\(.*\\bexec_?\\b"));
    if (!on_instance) report(copy, copy.name + " without exec as its first argument");
  }
  for (const Call& fence : calls(code, {"fence"})) {
    if (code.substr(0, fence.position).ends_with("Kokkos::"))
      report(fence, "Kokkos::fence waits for every instance; exec.fence() is enough");
  }
  return breaches;
}

}  // namespace m2::style
