// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/inspect/info.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>

#include "core/byte_size.hpp"
#include "io/shape.hpp"

namespace m2 {
namespace {

// "228,689,764,864"
std::string grouped(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (int at = int(digits.size()) - 3; at > 0; at -= 3) digits.insert(std::size_t(at), ",");
  return digits;
}

std::string architecture_text(const MiniMaxM2Config& config) {
  std::string text = "architecture  MiniMaxM2ForCausalLM\n";
  text += fmt::format("  {} layers, hidden size {}, vocabulary {}, {} positions\n", config.num_hidden_layers,
                      config.hidden_size, config.vocab_size, config.max_position_embeddings);
  text += fmt::format("  {} query and {} key/value heads of {}, the first {} dimensions rotated (theta {})\n",
                      config.num_attention_heads, config.num_key_value_heads, config.head_dim, config.rotary_dim,
                      config.rope_theta);
  text += fmt::format("  {} experts of width {}, {} for each token, {} scores{}\n", config.num_local_experts,
                      config.intermediate_size, config.num_experts_per_tok,
                      config.scoring_func == ScoringFunc::sigmoid ? "sigmoid" : "softmax",
                      config.use_routing_bias ? ", biased choice" : "");
  text += fmt::format("parameters    {} in all, {} for each token\n", grouped(config.num_parameters()),
                      grouped(config.num_active_parameters()));
  return text;
}

struct KindTotal {
  std::int64_t num_tensors = 0;
  std::int64_t num_parameters = 0;
  std::uint64_t bytes = 0;
  std::set<std::string_view> dtypes;

  void add(const StoredTensor& tensor) {
    bytes += tensor.size_bytes();
    if (tensor.is_scale) return;
    ++num_tensors;
    num_parameters += tensor.num_values();
    dtypes.insert(name(tensor.dtype));
  }
};

std::string kind_row(std::string_view kind, const KindTotal& total) {
  return fmt::format("{:<10} {:>8} {:>18} {:>10}  {}\n", kind, total.num_tensors, grouped(total.num_parameters),
                     byte_size_text(total.bytes), fmt::join(total.dtypes, ", "));
}

std::string kinds_table(const TensorSource& source) {
  std::array<KindTotal, kEnumNames<ParameterKind>.size()> totals;
  KindTotal all;
  for (const StoredTensor& tensor : source.tensors()) {
    totals[std::size_t(tensor.kind)].add(tensor);
    all.add(tensor);
  }
  std::string text = fmt::format("{:<10} {:>8} {:>18} {:>10}  {}\n", "kind", "tensors", "parameters", "size", "dtype");
  for (std::size_t i = 0; i < totals.size(); ++i) text += kind_row(name(ParameterKind(i)), totals[i]);
  return text + kind_row("all", all);
}

std::string texts_line(const TensorSource& source) {
  std::vector<std::string> texts;
  for (const TextFile& file : kTextFiles) {
    if (const auto text = source.text(file)) {
      texts.push_back(fmt::format("{} ({})", file.file_name, byte_size_text(text->size())));
    }
  }
  return fmt::format("texts         {}\n", fmt::join(texts, ", "));
}

std::string others_line(const TensorSource& source) {
  std::uint64_t bytes = 0;
  for (const StoredTensor& other : source.others()) bytes += other.size_bytes();
  return fmt::format("beside them   {} datasets of a training run ({})\n", source.others().size(),
                     byte_size_text(bytes));
}

std::string tensors_table(const std::vector<FileEntry>& entries) {
  std::size_t width = 0;
  for (const auto& [entry, file] : entries) width = std::max(width, entry->name.size());
  std::string text =
      fmt::format("\n{:<{}}  {:<13}  {:<20}  {:>14}  {}\n", "tensor", width, "dtype", "shape", "offset", "file");
  for (const auto& [entry, file] : entries) {
    text += fmt::format("{:<{}}  {:<13}  {:<20}  {:>14}  {}\n", entry->name, width, name(entry->dtype),
                        shape_text(entry->shape), entry->offset, file);
  }
  return text;
}

}  // namespace

std::string info_text(const TensorSource& source, bool list_tensors) {
  const std::vector<FileEntry> entries = source.entries();
  std::set<std::string_view> files;
  for (const FileEntry& entry : entries) files.insert(entry.file);
  std::string text = architecture_text(source.config());
  text += fmt::format("files         {}\n", files.size());
  text += texts_line(source);
  if (!source.others().empty()) text += others_line(source);
  text += "\n" + kinds_table(source);
  if (list_tensors) text += tensors_table(entries);
  return text;
}

}  // namespace m2
