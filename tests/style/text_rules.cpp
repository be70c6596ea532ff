// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "style/rules.hpp"

namespace m2::style {
namespace {

bool needs_licence(const std::string& path) {
  for (const std::string ending :
       {".cpp", ".hpp", ".cmake", ".cmake.in", "CMakeLists.txt", ".sh", ".sbatch", ".py", ".yaml", ".yml", ".ci/run"}) {
    if (path.ends_with(ending)) return true;
  }
  return false;
}

// Each is written in two pieces, so that this file does not hold what it looks for.
const std::vector<std::string> kForbidden{
    "/wo"
    "rk/",
    "/tm"
    "p/",
    "/ro"
    "ot/",
    "../sha"
    "red",
    "debian"
    ".org",
    "ubuntu"
    ".com",
    "pypi"
    ".org",
    "npmjs"
    ".org",
    "crates"
    ".io",
    "anaconda"
    ".org",
    "conda"
    ".io",
    "proxy.golang"
    ".org",
    "repo1.maven"
    ".org",
    "rubygems"
    ".org",
    "nuget"
    ".org",
    "docker"
    ".io",
    "quay"
    ".io",
    "ghcr"
    ".io",
};

}  // namespace

Breaches licence_breaches(const File& file) {
  if (!needs_licence(file.path)) return {};
  std::string_view text = file.text;
  if (text.starts_with("#!")) text.remove_prefix(std::min(text.find('\n') + 1, text.size()));
  for (const std::string_view comment : {"// ", "# "}) {
    if (text.starts_with(comment) && text.substr(comment.size()).starts_with("SPDX-License-Identifier: Apache-2.0\n"))
      return {};
  }
  return {file.path + ": the first line is not the comment 'SPDX-License-Identifier: Apache-2.0'"};
}

Breaches machine_breaches(const File& file) {
  Breaches breaches;
  for (const std::string& word : kForbidden) {
    const std::size_t at = file.text.find(word);
    if (at == std::string::npos) continue;
    breaches.push_back(
        fmt::format("{}:{}: holds '{}', which is true on one machine only", file.path, line_of(file.text, at), word));
  }
  return breaches;
}

}  // namespace m2::style
