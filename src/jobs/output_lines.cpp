// SPDX-License-Identifier: Apache-2.0
#include "jobs/output_lines.hpp"

#include "core/error.hpp"
#include "core/print.hpp"

namespace m2 {
namespace {

void require_same_input(const std::string& path, std::int64_t index, const nlohmann::json& line,
                        std::span<const Prompt> inputs, std::string_view tokens_key) {
  constexpr const char* kAdvice = "resume with the input it was made from, or without output.resume";
  M2_REQUIRE(index < std::ssize(inputs), "{}: has more lines than the input's {}; {}", path, inputs.size(), kAdvice);
  const Prompt& input = inputs[index];
  const auto id = line.find("id");
  M2_REQUIRE(id != line.end() && *id == nlohmann::json(input.id),
             "{}: line {} has the id {}, the input ({}) has {}; {}", path, index + 1,
             id == line.end() ? "null" : id->dump(), input.where, input.id.dump(), kAdvice);
  const auto tokens = line.find(tokens_key);
  M2_REQUIRE(tokens != line.end() && *tokens == nlohmann::json(input.tokens),
             "{}: line {}: '{}' differs from the tokens of the input ({}); {}", path, index + 1, tokens_key,
             input.where, kAdvice);
}

}  // namespace

OutputLines::OutputLines(const OutputSection& output, std::span<const Prompt> inputs, std::string_view tokens_key,
                         const std::function<void(const nlohmann::json&)>& visit) {
  if (!output.file) return;
  if (!output.resume) {
    file_.emplace(*output.file);
    return;
  }
  file_.emplace(JsonLinesWriter::resume(*output.file, [&](const nlohmann::json& line) {
    require_same_input(*output.file, num_lines_, line, inputs, tokens_key);
    if (visit) visit(line);
    ++num_lines_;
  }));
}

void OutputLines::write(std::string_view line) {
  if (file_) {
    file_->write(line);
  } else {
    print_now(std::string(line) + '\n');
  }
  ++num_lines_;
}

void OutputLines::finish() {
  if (file_) file_->sync();
}

}  // namespace m2
