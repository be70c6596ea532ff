// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <map>
#include <optional>
#include <regex>
#include <set>

#include "style/rules.hpp"

namespace m2::style {
namespace {

// docs/architecture.md: a folder includes lower levels only, never another of its own. A folder inside a folder has a
// level of its own; the files beside it are the folder's.
const std::map<std::string, int> kLevels{
    {"core", 0},
    {"report", 1},
    {"io", 2},
    {"config", 3},
    {"text", 3},
    {"comm", 3},
    {"comm/mpi", 4},
    {"comm/nccl", 5},
    {"comm/startup", 6},
    {"kernels/common", 3},
    {"kernels/panels", 4},
    {"kernels/weights", 5},
    {"kernels/rowwise", 6},
    {"kernels/attention", 6},
    {"kernels/moe", 6},
    {"kernels/gemm", 6},
    {"parallel", 7},
    {"model/dispatch", 8},
    {"model", 9},
    {"checkpoint", 10},
    {"checkpoint/formats", 11},
    {"checkpoint/load", 12},
    {"checkpoint/convert", 12},
    {"checkpoint/inspect", 12},
    {"infer", 10},
    {"bench", 13},
    {"train", 13},
    {"jobs", 14},
    {"apps", 15},
};

// Folders of one line: what is inside one is no business of another, whatever the levels inside.
const std::vector<std::set<std::string>> kNeighbours{
    {"config", "text", "comm", "kernels"}, {"checkpoint", "infer"}, {"bench", "train"}};

struct Vendor {
  std::string pattern;            // of the path between the brackets of an include
  std::set<std::string> folders;  // that may include it
  bool one_file;                  // and only one file of them
};

const std::vector<Vendor> kVendors{
    {"mpi\\.h", {"comm"}, false},
    {"nccl\\.h", {"comm"}, false},
    {"(hdf5|H5.*)\\.h(pp)?", {"io"}, false},
    {"xxh(ash|3)\\.h", {"io"}, false},
    {"yaml-cpp/.*", {"config"}, false},
    {"pcre2\\.h", {"text"}, false},
    {"nlohmann/.*", {"config", "io", "text", "checkpoint", "infer"}, false},
    {"(oneapi/)?dnnl.*", {"kernels"}, true},
    {"Kokkos(Blas|Batched|Kernels|Sparse).*", {"kernels"}, true},
    {"cublas.*", {"kernels"}, true},
    {"cudnn.*", {"kernels"}, true},
    {"CLI/.*", {"apps"}, false},
};

struct Include {
  int line;
  std::string path;
  bool quoted;
};

std::vector<Include> includes(const File& file) {
  static const std::regex kInclude("^[ \t]*#[ \t]*include[ \t]*([<\"])([^>\"]*)[>\"]");
  std::vector<Include> found;
  const std::string text = without_comments(file.text);
  std::size_t begin = 0;
  for (int line = 1; begin < text.size(); ++line) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::smatch match;
    const std::string content = text.substr(begin, end - begin);
    if (std::regex_search(content, match, kInclude)) found.push_back({line, match[2], match[1] == "\""});
    begin = end + 1;
  }
  return found;
}

std::string first_part(const std::string& path) { return path.substr(0, path.find('/')); }

// "kernels" for src/kernels/x.cpp, "apps" for apps/m2.cpp, nothing for files that have no level.
std::optional<std::string> folder_of(const std::string& path) {
  if (path.starts_with("apps/")) return "apps";
  if (path.starts_with("src/") && path.find('/', 4) != std::string::npos) return first_part(path.substr(4));
  return std::nullopt;
}

bool is_source(const std::string& path) { return path.ends_with(".cpp") || path.ends_with(".hpp"); }

bool may_include(const std::string& folder, const std::string& included) {
  return folder == included || kLevels.at(included) < kLevels.at(folder);
}

std::string own_header(const std::string& path) {
  return path.starts_with("src/") && path.ends_with(".cpp") ? path.substr(4, path.size() - 8) + ".hpp" : "";
}

}  // namespace

Breaches layer_breaches(const std::vector<File>& files) {
  Breaches breaches;
  std::set<std::string> paths;
  for (const File& file : files) paths.insert(file.path);
  for (const File& file : files) {
    const auto folder = folder_of(file.path);
    if (!folder || !is_source(file.path)) continue;
    if (!kLevels.contains(*folder)) {
      breaches.push_back(
          fmt::format("{}: folder {} has no level; give it one in tests/style/include_rules.cpp", file.path, *folder));
      continue;
    }
    const std::vector<Include> found = includes(file);
    for (const auto& [line, path, quoted] : found) {
      const std::string included = first_part(path);
      const bool beside = *folder == "apps" && paths.contains("apps/" + path);
      if (quoted && !kLevels.contains(included) && !beside) {
        breaches.push_back(
            fmt::format("{}:{}: includes \"{}\"; write the path relative to src", file.path, line, path));
      } else if (kLevels.contains(included) && path != included && !may_include(*folder, included)) {
        breaches.push_back(fmt::format("{}:{}: {} includes {} (\"{}\"), which is not below it", file.path, line,
                                       *folder, included, path));
      }
    }
    const std::string header = own_header(file.path);
    if (paths.contains("src/" + header) && (found.empty() || found[0].path != header)) {
      breaches.push_back(fmt::format("{}: includes something before its own \"{}\"", file.path, header));
    }
  }
  return breaches;
}

Breaches vendor_breaches(const std::vector<File>& files) {
  Breaches breaches;
  for (const Vendor& vendor : kVendors) {
    const std::regex pattern(vendor.pattern);
    std::string first_file;
    for (const File& file : files) {
      const auto folder = folder_of(file.path);
      if (!folder || !is_source(file.path)) continue;
      for (const auto& [line, path, quoted] : includes(file)) {
        if (!std::regex_match(path, pattern)) continue;
        if (!vendor.folders.contains(*folder)) {
          breaches.push_back(fmt::format("{}:{}: includes <{}>, which belongs to {} only", file.path, line, path,
                                         fmt::join(vendor.folders, ", ")));
        } else if (vendor.one_file && !first_file.empty() && first_file != file.path) {
          breaches.push_back(fmt::format("{}:{}: includes <{}> as {} does; one provider file only", file.path, line,
                                         path, first_file));
        } else {
          first_file = file.path;
        }
      }
    }
  }
  return breaches;
}

Breaches kokkos_free_breaches(const std::vector<File>& files) {
  std::map<std::string, const File*> by_path;
  for (const File& file : files) by_path[file.path] = &file;
  Breaches breaches;
  for (const File& file : files) {
    const std::string folder = folder_of(file.path).value_or("");
    if (!is_source(file.path) || (folder != "config" && folder != "io" && folder != "text")) continue;
    std::set<std::string> seen{file.path};
    std::vector<std::string> waiting{file.path};
    while (!waiting.empty()) {
      const std::string path = waiting.back();
      waiting.pop_back();
      if (!by_path.contains(path)) continue;
      for (const Include& include : includes(*by_path[path])) {
        if (include.path.starts_with("Kokkos")) {
          breaches.push_back(
              fmt::format("{}: reaches <{}> through {}; {} is free of Kokkos", file.path, include.path, path, folder));
        }
        if (seen.insert("src/" + include.path).second) waiting.push_back("src/" + include.path);
      }
    }
  }
  return breaches;
}

}  // namespace m2::style
