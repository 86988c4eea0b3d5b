#include "dataset/formats/joint_names.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "base/error.h"
#include "base/spelling.h"
#include "dataset/formats/joint_set_texts.h"
#include "pose/skeleton.h"

namespace posefix::dataset::formats {
namespace {

constexpr std::string_view kAliases = "aliases";

std::string_view text_of(std::string_view name) {
  for (const JointSetText& text : joint_set_texts()) {
    if (text.name == name) return text.yaml;
  }
  return {};
}

const std::map<std::string, std::string>& aliases() {
  static const auto all = YAML::Load(std::string(text_of(kAliases))).as<std::map<std::string, std::string>>();
  return all;
}

// shoulder, ankle, big_toe, ...: whatever a skeleton or a joint set has a left and a right of.
const std::set<std::string>& sided_parts() {
  static const std::set<std::string> all = [] {
    std::set<std::string> parts;
    std::vector<std::string> names = joint_set_names();
    for (const std::string& name : names) {
      for (const std::string& joint : joint_set(name).joints) {
        if (joint.starts_with("left_")) parts.insert(joint.substr(5));
      }
    }
    return parts;
  }();
  return all;
}

bool is_upper(char c) { return std::isupper(static_cast<unsigned char>(c)) != 0; }
bool is_lower(char c) { return std::islower(static_cast<unsigned char>(c)) != 0; }

// "RBigToe" -> r, big, toe; "left-eye (inner)" -> left, eye, inner.
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  bool open = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) {
      open = false;
      continue;
    }
    const bool after_lower = i > 0 && is_lower(text[i - 1]);
    const bool before_lower = i + 1 < text.size() && is_lower(text[i + 1]);
    const bool starts = is_upper(c) && (after_lower || (i > 0 && is_upper(text[i - 1]) && before_lower));
    if (!open || starts) words.emplace_back();
    open = true;
    words.back() += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return words;
}

// Takes the side out of `words`: a word of its own, or the start of a word whose rest has two sides (lshoulder).
std::string take_side(std::vector<std::string>& words) {
  for (auto word = words.begin(); word != words.end(); ++word) {
    std::string side = *word == "l" || *word == "left" ? "left" : *word == "r" || *word == "right" ? "right" : "";
    if (side.empty()) continue;
    words.erase(word);
    return side;
  }
  if (words.size() != 1) return "";
  for (const auto& [prefix, side] : {std::pair{"left", "left"}, {"right", "right"}, {"l", "left"}, {"r", "right"}}) {
    if (!words[0].starts_with(prefix)) continue;
    const std::string rest = words[0].substr(std::string_view(prefix).size());
    if (!sided_parts().contains(rest)) continue;
    words[0] = rest;
    return side;
  }
  return "";
}

JointSet parse(const std::string& name, std::string_view yaml) {
  const YAML::Node node = YAML::Load(std::string(yaml));
  JointSet set;
  set.name = name;
  set.joints = node["joints"].as<std::vector<std::string>>();
  set.slots = node["slots"].as<int>(static_cast<int>(set.joints.size()));
  if (node["middles"]) {
    for (const auto& middle : node["middles"].as<std::map<std::string, std::vector<std::string>>>()) {
      set.middles.push_back({middle.first, middle.second.at(0), middle.second.at(1)});
    }
  }
  return set;
}

}  // namespace

std::string joint_name(std::string_view text) {
  std::vector<std::string> words = words_of(text);
  std::string name = take_side(words);
  for (const std::string& word : words) name += (name.empty() ? "" : "_") + word;
  const auto alias = aliases().find(name);
  return alias == aliases().end() ? name : alias->second;
}

int JointSet::find(std::string_view joint) const {
  const auto found = std::find(joints.begin(), joints.end(), joint);
  return found == joints.end() ? -1 : static_cast<int>(found - joints.begin());
}

JointSet joint_set(const std::string& name) {
  if (name != kAliases && !text_of(name).empty()) return parse(name, text_of(name));
  const std::vector<std::string> shipped = pose::shipped_skeletons();
  if (std::find(shipped.begin(), shipped.end(), name) == shipped.end() && !name.ends_with(".yaml")) {
    throw bad_input("joint set '{}' is not known; the nearest is '{}'; a skeleton's YAML file is taken as well", name,
                    nearest_name(name, joint_set_names()));
  }
  const pose::Skeleton skeleton = pose::Skeleton::load(name);
  return {skeleton.name, skeleton.joints, {}, skeleton.size()};
}

std::vector<std::string> joint_set_names() {
  std::vector<std::string> names = pose::shipped_skeletons();
  for (const JointSetText& text : joint_set_texts()) {
    if (text.name != kAliases) names.emplace_back(text.name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace posefix::dataset::formats
