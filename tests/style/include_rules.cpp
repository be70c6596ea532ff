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
    {"kernels/loss", 7},
    {"kernels/optimizer", 6},
    {"parallel", 7},
    {"model/dispatch", 8},
    {"model", 9},
    {"checkpoint", 10},
    {"checkpoint/formats", 11},
    {"checkpoint/load", 12},
    {"checkpoint/convert", 12},
    {"checkpoint/inspect", 12},
    {"infer", 10},
    {"train/data", 13},
    {"train/checkpoint", 13},
    {"bench", 14},
    {"train", 14},
    {"jobs", 15},
    {"apps", 16},
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
    {"mpi\\.h", {"comm/mpi"}, false},
    {"nccl\\.h", {"comm/nccl"}, false},
    {"(hdf5|H5.*)\\.h(pp)?", {"io"}, false},
    {"xxh(ash|3)\\.h", {"io"}, false},
    {"yaml-cpp/.*", {"config"}, false},
    {"pcre2\\.h", {"text"}, false},
    {"nlohmann/.*",
     {"config", "io", "text", "parallel", "checkpoint", "checkpoint/formats", "checkpoint/inspect", "infer", "bench",
      "train", "train/data", "jobs"},
     false},
    {"(oneapi/)?dnnl.*", {"kernels/gemm"}, true},
    {"Kokkos(Blas|Batched|Kernels|Sparse).*", {"kernels/gemm"}, true},
    {"cublas.*", {"kernels/gemm"}, true},
    {"cudnn.*", {"kernels/attention"}, true},
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

// The folder of a path below src that has a level: "comm/mpi" for comm/mpi/mpi_call.hpp. One that has none is returned
// whole, for the message.
std::string leveled_folder(const std::string& path_below_src) {
  const std::string inner = path_below_src.substr(0, path_below_src.rfind('/'));
  for (std::string folder = inner;; folder = folder.substr(0, folder.rfind('/'))) {
    if (kLevels.contains(folder)) return folder == first_part(folder) && folder != inner ? inner : folder;
    if (folder.find('/') == std::string::npos) return inner;
  }
}

// "kernels/gemm" for src/kernels/gemm/x.cpp, "apps" for apps/m2.cpp, nothing for files that have no level.
std::optional<std::string> folder_of(const std::string& path) {
  if (path.starts_with("apps/")) return "apps";
  if (path.starts_with("src/") && path.find('/', 4) != std::string::npos) return leveled_folder(path.substr(4));
  return std::nullopt;
}

bool is_source(const std::string& path) { return path.ends_with(".cpp") || path.ends_with(".hpp"); }

bool are_neighbours(const std::string& a, const std::string& b) {
  const std::string top_a = first_part(a), top_b = first_part(b);
  return top_a != top_b && std::ranges::any_of(kNeighbours, [&](const std::set<std::string>& line) {
           return line.contains(top_a) && line.contains(top_b);
         });
}

bool may_include(const std::string& folder, const std::string& included) {
  if (folder == included) return true;
  return kLevels.at(included) < kLevels.at(folder) && !are_neighbours(folder, included);
}

// Whether an include names a folder of src: "io/file.hpp", and <text/b.hpp> that should be written with quotes.
bool is_below_src(const std::string& path) {
  static const std::set<std::string> kTops = [] {
    std::set<std::string> tops;
    for (const auto& [folder, level] : kLevels) tops.insert(first_part(folder));
    return tops;
  }();
  return path.find('/') != std::string::npos && kTops.contains(first_part(path));
}

std::string own_header(const std::string& path) {
  return path.starts_with("src/") && path.ends_with(".cpp") ? path.substr(4, path.size() - 8) + ".hpp" : "";
}

std::optional<std::string> layer_breach(const File& file, const std::string& folder, const Include& include,
                                        const std::set<std::string>& paths) {
  const auto& [line, path, quoted] = include;
  const bool beside = folder == "apps" && paths.contains("apps/" + path);
  if (quoted && !is_below_src(path) && !beside) {
    return fmt::format("{}:{}: includes \"{}\"; write the path relative to src", file.path, line, path);
  }
  if (!is_below_src(path)) return std::nullopt;
  const std::string included = leveled_folder(path);
  if (kLevels.contains(included) && may_include(folder, included)) return std::nullopt;
  return fmt::format("{}:{}: {} includes {} (\"{}\"), which is not below it", file.path, line, folder, included, path);
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
    for (const Include& include : found) {
      if (auto breach = layer_breach(file, *folder, include, paths)) breaches.push_back(std::move(*breach));
    }
    const std::string header = own_header(file.path);
    if (paths.contains("src/" + header) && (found.empty() || found[0].path != header)) {
      breaches.push_back(fmt::format("{}: includes something before its own \"{}\"", file.path, header));
    }
  }
  return breaches;
}

Breaches cycle_breaches(const std::vector<File>& files) {
  std::map<std::string, std::vector<std::string>> included_by;
  for (const File& file : files) {
    if (!is_source(file.path) || !file.path.starts_with("src/")) continue;
    for (const Include& include : includes(file)) included_by[file.path].push_back("src/" + include.path);
  }
  Breaches breaches;
  std::map<std::string, int> state;  // 1: being looked at, 2: done
  const auto visit = [&](const auto& self, const std::string& path) -> void {
    state[path] = 1;
    for (const std::string& next : included_by[path]) {
      if (state[next] == 1) breaches.push_back(fmt::format("{}: includes {}, which includes it in turn", path, next));
      if (state[next] == 0) self(self, next);
    }
    state[path] = 2;
  };
  for (const File& file : files) {
    if (state[file.path] == 0) visit(visit, file.path);
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
