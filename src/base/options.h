// Configuration: every key is declared once, bound to a field; the declaration drives the YAML file, --set, the
// resolved table and the help text.
//
//   Options options;
//   options.add("model.backbone", &config.backbone, "network: resnet50, resnet101 or resnet152");
//   options.load("configs/demo.yaml");      // unknown keys: Error with file, line and the nearest known key
//   options.set("train.batch_size=16");
//   options.resolved_yaml();
//
// Keys are dotted; in YAML the dots may be nesting or be written out. Values keep the field's type; a value of
// another type is an Error that names file, line, key, what was expected and found.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace posefix {

class Options {
 public:
  using Target = std::variant<bool*, int64_t*, double*, std::string*, std::vector<int64_t>*, std::vector<double>*,
                              std::vector<std::string>*>;
  // Returns what is wrong with the value just stored ("" if nothing): "must be positive".
  using Check = std::function<std::string()>;

  // The target must outlive this object and holds the default. `key` must be new.
  void add(std::string key, Target target, std::string help, Check check = {});

  // Keys of this section belong to another part of the program: accepted, not read, unless declared here.
  void pass_over(std::string section);

  // Every key outside this section belongs to another part of the program: accepted, not read.
  void only(std::string section) { only_ = std::move(section); }

  // Reads a YAML file over the defaults. Error (bad input) names file, line and key.
  void load(const std::filesystem::path& file);
  // The same from text; `name` stands for the file in messages.
  void load_text(std::string_view yaml, const std::string& name);
  // "key=value", the value in YAML notation.
  void set(std::string_view assignment);

  // All keys with their values, as YAML that load_text() reads back to the same values.
  std::string resolved_yaml() const;
  // Key, default and help, a line each.
  std::string help() const;
  std::vector<std::string> keys() const;

 private:
  struct Entry {
    std::string key;
    Target target;
    std::string help;
    Check check;
    std::string default_text;
  };
  Entry* find(std::string_view key);
  std::vector<Entry> entries_;
  std::vector<std::string> passed_over_;
  std::string only_;  // "": all sections
};

}  // namespace posefix
