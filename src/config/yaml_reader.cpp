// SPDX-License-Identifier: Apache-2.0
// yaml-cpp is used as a source of events, not of its node tree: a throw from an event bounds its recursion, and the
// tree would hide what must be refused (keys given twice, anchors) and lose the lines.
#include "config/yaml_reader.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.hpp"

namespace m2 {
namespace {

constexpr std::size_t kMaxDeckBytes = 256 << 10;
constexpr std::size_t kMaxDeckDepth = 4;  // deck, section, list, and one to spare for a good message

template <class... Args>
[[noreturn]] void refuse(const std::string& source, int line, fmt::format_string<Args...> format, Args&&... args) {
  raise_usage("{}:{}: {}", source, line, fmt::format(format, std::forward<Args>(args)...));
}

/// Builds the tree from the events of yaml-cpp's parser.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(const std::string& source) : source_(source) {}

  YamlNode take_root() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++num_documents_ > 1) refuse(source_, mark.line + 1, "a second document begins here; expected one");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(make(YamlNode::Kind::null, mark, "?", anchor));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override { refuse_anchor(mark, anchor); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode node = make(YamlNode::Kind::scalar, mark, tag, anchor);
    node.text = value;
    node.quoted = tag == "!";
    add(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(make(YamlNode::Kind::list, mark, tag, anchor));
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(make(YamlNode::Kind::map, mark, tag, anchor));
  }
  void OnMapEnd() override { close(); }

 private:
  /// A list or map whose end has not come yet.
  struct Frame {
    YamlNode node;
    std::map<std::string, int> line_of_key;

    bool has_key() const { return node.keys.size() > node.items.size(); }  // its value comes next
  };

  void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) refuse(source_, mark.line + 1, "anchors (&) and aliases (*) are not used here; write the value");
  }

  YamlNode make(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    refuse_anchor(mark, anchor);
    if (!tag.empty() && tag != "?" && tag != "!")
      refuse(source_, mark.line + 1, "tags are not used here, found '{}'", tag);
    YamlNode node;
    node.kind = kind;
    node.line = mark.line + 1;
    return node;
  }

  void open(YamlNode node) {
    if (frames_.size() == kMaxDeckDepth) refuse(source_, node.line, "nested deeper than {} levels", kMaxDeckDepth);
    frames_.emplace_back().node = std::move(node);
  }

  void close() {
    YamlNode node = std::move(frames_.back().node);
    frames_.pop_back();
    add(std::move(node));
  }

  void add(YamlNode node) {
    if (frames_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = frames_.back();
    if (frame.node.kind == YamlNode::Kind::list || frame.has_key()) {
      frame.node.items.push_back(std::move(node));
    } else {
      add_key(frame, std::move(node));
    }
  }

  void add_key(Frame& frame, YamlNode key) {
    if (key.kind != YamlNode::Kind::scalar) refuse(source_, key.line, "expected a key, found {}", describe(key));
    const auto [first, is_new] = frame.line_of_key.emplace(key.text, key.line);
    if (!is_new)
      refuse(source_, key.line, "key '{}' is given twice, first in line {}", path_of(key.text), first->second);
    frame.node.keys.push_back(std::move(key));
  }

  /// The key with those of the maps around it.
  std::string path_of(const std::string& key) const {
    std::string path;
    for (const Frame& frame : frames_) {
      if (frame.has_key()) path += frame.node.keys.back().text + ".";
    }
    return path + key;
  }

  const std::string& source_;
  std::vector<Frame> frames_;
  YamlNode root_;
  int num_documents_ = 0;
};

/// yaml-cpp would replace what is not UTF-8 and stop at a zero byte, both silently.
void require_text(std::string_view text, const std::string& source) {
  if (text.size() > kMaxDeckBytes) {
    raise_usage("{}: {} bytes; a deck has at most {}", source, text.size(), kMaxDeckBytes);
  }
  const auto is_control = [](unsigned char c) { return c < 0x20 && c != '\t' && c != '\n' && c != '\r'; };
  const auto control = std::find_if(text.begin(), text.end(), is_control);
  if (control != text.end()) {
    const int line = 1 + int(std::count(text.begin(), control, '\n'));
    refuse(source, line, "found byte {:#04x}; a deck is a text file", int(*control));
  }
  try {
    nlohmann::json(text).dump();  // the check is a side effect of writing JSON
  } catch (const nlohmann::json::exception&) {
    raise_usage("{}: not UTF-8; a deck is a text file in UTF-8", source);
  }
}

/// The first line, or as much of it as a message can hold, in whole code points.
std::string cut(const std::string& text) {
  std::size_t size = std::min({text.size(), text.find('\n'), std::size_t{60}});
  while (size > 0 && size < text.size() && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  return text.substr(0, size) + (size < text.size() ? "..." : "");
}

}  // namespace

std::string describe(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::null:
      return "nothing";
    case YamlNode::Kind::list:
      return "a list";
    case YamlNode::Kind::map:
      return "a section";
    case YamlNode::Kind::scalar:
      break;
  }
  return fmt::format("{}'{}'", node.quoted ? "the text " : "", cut(node.text));
}

YamlNode parse_yaml(std::string_view text, const std::string& source) {
  require_text(text, source);
  // yaml-cpp closes an open quote at a line break before the end, having swallowed all keys in between; at the end of a
  // line that is not empty it throws. The comment is such a line, and changes nothing elsewhere.
  std::istringstream stream(std::string(text) + (text.ends_with('\n') ? "#" : "\n#"));
  TreeBuilder tree(source);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(tree)) {
    }
  } catch (const YAML::Exception& e) {
    const int last_line = 1 + int(std::count(text.begin(), text.end(), '\n'));
    refuse(source, std::min(e.mark.line + 1, last_line), "not valid YAML: {}", e.msg);
  }
  return tree.take_root();
}

}  // namespace m2
