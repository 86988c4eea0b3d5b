#include "base/options.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/spelling.h"

namespace posefix {
namespace {

// Shortest text that parses back to the same double.
std::string number_text(double value) { return fmt::format("{}", value); }

std::string quoted(const std::string& text) {
  YAML::Emitter emitter;
  emitter << YAML::DoubleQuoted << text;
  return emitter.c_str();
}

struct ValueText {
  std::string operator()(const bool* value) const { return *value ? "true" : "false"; }
  std::string operator()(const int64_t* value) const { return fmt::format("{}", *value); }
  std::string operator()(const double* value) const { return number_text(*value); }
  std::string operator()(const std::string* value) const { return quoted(*value); }
  std::string operator()(const std::vector<int64_t>* value) const {
    return fmt::format("[{}]", fmt::join(*value, ", "));
  }
  std::string operator()(const std::vector<double>* value) const {
    return fmt::format("[{}]", fmt::join(*value, ", "));
  }
  std::string operator()(const std::vector<std::string>* value) const {
    std::vector<std::string> parts;
    for (const std::string& item : *value) parts.push_back(quoted(item));
    return fmt::format("[{}]", fmt::join(parts, ", "));
  }
};

struct TypeText {
  const char* operator()(const bool*) const { return "true or false"; }
  const char* operator()(const int64_t*) const { return "a whole number"; }
  const char* operator()(const double*) const { return "a number"; }
  const char* operator()(const std::string*) const { return "a text"; }
  const char* operator()(const std::vector<int64_t>*) const { return "a list of whole numbers"; }
  const char* operator()(const std::vector<double>*) const { return "a list of numbers"; }
  const char* operator()(const std::vector<std::string>*) const { return "a list of texts"; }
};

std::string position(const std::string& name, const YAML::Node& node) {
  return node.Mark().is_null() ? name : fmt::format("{}: line {}", name, node.Mark().line + 1);
}

std::string node_text(const YAML::Node& node) {
  YAML::Emitter emitter;
  emitter << YAML::Flow << node;
  return emitter.c_str();
}

}  // namespace

void Options::add(std::string key, Target target, std::string help, Check check) {
  PFX_CHECK(find(key) == nullptr);
  entries_.push_back({std::move(key), target, std::move(help), std::move(check), std::visit(ValueText{}, target)});
}

Options::Entry* Options::find(std::string_view key) {
  const auto entry = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.key == key; });
  return entry == entries_.end() ? nullptr : &*entry;
}

void Options::pass_over(std::string section) { passed_over_.push_back(std::move(section)); }

void Options::load(const std::filesystem::path& file) { load_text(read_file(file), file.string()); }

void Options::load_text(std::string_view yaml, const std::string& name) {
  YAML::Node root;
  try {
    root = YAML::Load(std::string(yaml));
  } catch (const YAML::Exception& error) {
    throw bad_input("{}: line {}: not valid YAML: {}", name, error.mark.line + 1, error.msg);
  }
  const std::function<void(const std::string&, const YAML::Node&)> apply = [&](const std::string& key,
                                                                               const YAML::Node& node) {
    Entry* entry = find(key);
    if (entry == nullptr) {
      const bool is_group = std::any_of(entries_.begin(), entries_.end(),
                                        [&](const Entry& e) { return key.empty() || e.key.starts_with(key + "."); });
      if (is_group && node.IsMap()) {
        for (const auto& item : node) {
          apply(key.empty() ? item.first.Scalar() : key + "." + item.first.Scalar(), item.second);
        }
        return;
      }
      const auto is_of = [&](const std::string& section) { return key == section || key.starts_with(section + "."); };
      const bool elsewhere = std::any_of(passed_over_.begin(), passed_over_.end(), is_of) ||
                             (!only_.empty() && !key.empty() && !is_of(only_));
      if (elsewhere) return;
      if (key.empty()) throw bad_input("{}: expected 'key: value' lines, found {}", name, node_text(node));
      if (is_group)
        throw bad_input("{}: '{}' is a group of keys, found {}", position(name, node), key, node_text(node));
      throw bad_input("{}: unknown key '{}'; the nearest known key is '{}'", position(name, node), key,
                      nearest_name(key, keys()));
    }
    try {
      std::visit([&](auto* target) { *target = node.as<std::remove_pointer_t<decltype(target)>>(); }, entry->target);
    } catch (const YAML::Exception&) {
      throw bad_input("{}: '{}' must be {}, found {}", position(name, node), key, std::visit(TypeText{}, entry->target),
                      node_text(node));
    }
    const std::string problem = entry->check ? entry->check() : "";
    if (!problem.empty()) {
      throw bad_input("{}: '{}' {}, found {}", position(name, node), key, problem, node_text(node));
    }
  };
  if (root.IsNull()) return;
  apply("", root);
}

void Options::set(std::string_view assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    throw bad_input("--set {}: expected key=value, for example --set train.batch_size=16", assignment);
  }
  const std::string key(assignment.substr(0, equals));
  load_text(fmt::format("{}: {}", key, assignment.substr(equals + 1)), fmt::format("--set {}", assignment));
}

std::string Options::resolved_yaml() const {
  std::string text;
  for (const Entry& entry : entries_) text += fmt::format("{}: {}\n", entry.key, std::visit(ValueText{}, entry.target));
  return text;
}

std::string Options::help() const {
  std::string text;
  for (const Entry& entry : entries_) {
    text += fmt::format("  {:<28} {} (default {})\n", entry.key, entry.help, entry.default_text);
  }
  return text;
}

std::vector<std::string> Options::keys() const {
  std::vector<std::string> keys;
  for (const Entry& entry : entries_) keys.push_back(entry.key);
  return keys;
}

}  // namespace posefix
