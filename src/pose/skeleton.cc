#include "pose/skeleton.h"

#include <fmt/ranges.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/spelling.h"
#include "pose/shipped_skeletons.h"

namespace posefix::pose {
namespace {

// Reads one skeleton document; every message names file, line and field.
class SkeletonParser {
 public:
  SkeletonParser(std::string_view yaml, std::string name) : yaml_(yaml), file_(std::move(name)) {}

  Skeleton parse() {
    YAML::Node root;
    try {
      root = YAML::Load(std::string(yaml_));
    } catch (const YAML::Exception& error) {
      throw bad_input("{}: line {}: not valid YAML: {}", file_, error.mark.line + 1, error.msg);
    }
    if (!root.IsMap()) throw bad_input("{}: expected a map with name, joints, sigmas, ...", file_);
    check_keys(root);
    skeleton_.yaml = yaml_;
    skeleton_.name = root["name"] ? text(root["name"], "name") : file_;
    read_joints(root);
    for (const auto& [first, second] : pairs(root, "flip_pairs")) skeleton_.flip_pairs.emplace_back(first, second);
    check_flip_pairs(root);
    skeleton_.limbs = pairs(root, "limbs");
    if (root["ignored"]) {
      for (const YAML::Node& node : list(root, "ignored")) skeleton_.ignored.push_back(joint(node, "ignored"));
    }
    read_sigmas(root);
    read_error_kinds(root);
    if (root["head"]) skeleton_.head_joints = pair(root["head"], "head");
    return std::move(skeleton_);
  }

 private:
  static constexpr size_t kMostJoints = 1024;

  template <typename... Args>
  Error at(const YAML::Node& node, fmt::format_string<Args...> format, Args&&... args) const {
    return bad_input("{}: line {}: {}", file_, node.Mark().line + 1, fmt::format(format, std::forward<Args>(args)...));
  }

  void check_keys(const YAML::Node& root) const {
    static const std::vector<std::string> kKnown{"name",   "joints",      "flip_pairs", "limbs",
                                                 "sigmas", "error_kinds", "ignored",    "head"};
    for (const auto& entry : root) {
      const std::string key = text(entry.first, "key");
      if (std::find(kKnown.begin(), kKnown.end(), key) == kKnown.end()) {
        throw at(entry.first, "unknown field '{}'; the nearest known one is '{}' (fields: {})", key,
                 nearest_name(key, kKnown), fmt::join(kKnown, ", "));
      }
    }
  }

  std::string text(const YAML::Node& node, const char* field) const {
    if (!node.IsScalar()) throw at(node, "'{}': expected a word", field);
    return node.Scalar();
  }

  YAML::Node list(const YAML::Node& root, const char* field) const {
    const YAML::Node node = root[field];
    if (!node) throw bad_input("{}: field '{}' is missing", file_, field);
    if (!node.IsSequence()) throw at(node, "'{}': expected a list", field);
    return node;
  }

  int joint(const YAML::Node& node, const char* field) const {
    const std::string name = text(node, field);
    const int index = skeleton_.find(name);
    if (index < 0) {
      throw at(node, "'{}': unknown joint '{}'; the nearest known one is '{}'", field, name,
               nearest_name(name, skeleton_.joints));
    }
    return index;
  }

  std::pair<int, int> pair(const YAML::Node& node, const char* field) const {
    if (!node.IsSequence() || node.size() != 2) throw at(node, "'{}': expected two joint names [a, b]", field);
    const std::pair<int, int> result{joint(node[0], field), joint(node[1], field)};
    if (result.first == result.second) throw at(node, "'{}': a joint is paired with itself", field);
    return result;
  }

  std::vector<std::pair<int, int>> pairs(const YAML::Node& root, const char* field) const {
    std::vector<std::pair<int, int>> result;
    if (!root[field]) return result;
    for (const YAML::Node& node : list(root, field)) result.push_back(pair(node, field));
    return result;
  }

  void read_joints(const YAML::Node& root) {
    const YAML::Node nodes = list(root, "joints");
    if (nodes.size() == 0 || nodes.size() > kMostJoints) {
      throw at(nodes, "'joints': expected 1 to {} names, got {}", kMostJoints, nodes.size());
    }
    for (const YAML::Node& node : nodes) {
      const std::string name = text(node, "joints");
      if (skeleton_.find(name) >= 0) throw at(node, "'joints': '{}' occurs twice", name);
      skeleton_.joints.push_back(name);
    }
  }

  void check_flip_pairs(const YAML::Node& root) const {
    std::set<int> seen;
    for (const auto& [first, second] : skeleton_.flip_pairs) {
      for (const int index : {first, second}) {
        if (!seen.insert(index).second) {
          throw at(root["flip_pairs"], "'flip_pairs': '{}' has two mirror partners",
                   skeleton_.joints[static_cast<size_t>(index)]);
        }
      }
    }
  }

  void read_sigmas(const YAML::Node& root) {
    const YAML::Node nodes = list(root, "sigmas");
    if (nodes.size() != skeleton_.joints.size()) {
      throw at(nodes, "'sigmas': {} numbers for {} joints", nodes.size(), skeleton_.joints.size());
    }
    for (const YAML::Node& node : nodes) {
      double sigma = 0;
      if (!YAML::convert<double>::decode(node, sigma) || !std::isfinite(sigma) || sigma < 0) {
        throw at(node, "'sigmas': expected a positive number");
      }
      const int index = static_cast<int>(skeleton_.sigmas.size());
      if (sigma == 0 && !skeleton_.is_ignored(index)) {
        throw at(node, "'sigmas': 0 for '{}', which is not listed under 'ignored'",
                 skeleton_.joints[static_cast<size_t>(index)]);
      }
      skeleton_.sigmas.push_back(sigma);
    }
  }

  void read_error_kinds(const YAML::Node& root) {
    if (!root["error_kinds"]) return;
    for (const YAML::Node& node : list(root, "error_kinds")) skeleton_.error_kinds.push_back(text(node, "error_kinds"));
    if (skeleton_.error_kinds.size() != skeleton_.joints.size()) {
      throw at(root["error_kinds"], "'error_kinds': {} names for {} joints", skeleton_.error_kinds.size(),
               skeleton_.joints.size());
    }
  }

  std::string_view yaml_;
  std::string file_;
  Skeleton skeleton_;
};

}  // namespace

std::vector<int> Skeleton::flip_permutation() const {
  std::vector<int> permutation(joints.size());
  std::iota(permutation.begin(), permutation.end(), 0);
  for (const auto& [a, b] : flip_pairs)
    std::swap(permutation[static_cast<size_t>(a)], permutation[static_cast<size_t>(b)]);
  return permutation;
}

bool Skeleton::is_ignored(int joint) const { return std::find(ignored.begin(), ignored.end(), joint) != ignored.end(); }

int Skeleton::find(std::string_view joint) const {
  const auto found = std::find(joints.begin(), joints.end(), joint);
  return found == joints.end() ? -1 : static_cast<int>(found - joints.begin());
}

Skeleton Skeleton::parse(std::string_view yaml, const std::string& name_for_messages) {
  return SkeletonParser(yaml, name_for_messages).parse();
}

Skeleton Skeleton::load(const std::string& name_or_path) {
  for (const ShippedSkeleton& shipped : shipped_skeleton_texts()) {
    if (shipped.name == name_or_path) return parse(shipped.yaml, name_or_path);
  }
  const bool looks_like_path = name_or_path.find('/') != std::string::npos || name_or_path.ends_with(".yaml") ||
                               name_or_path.ends_with(".yml") || std::filesystem::exists(name_or_path);
  if (!looks_like_path) {
    const std::vector<std::string> known = shipped_skeletons();
    throw bad_input(
        "unknown skeleton '{}'; the nearest shipped one is '{}' (shipped: {}); or give the path of a YAML file",
        name_or_path, nearest_name(name_or_path, known), fmt::join(known, ", "));
  }
  return parse(read_file(name_or_path), name_or_path);
}

std::vector<std::string> shipped_skeletons() {
  std::vector<std::string> names;
  for (const ShippedSkeleton& shipped : shipped_skeleton_texts()) names.emplace_back(shipped.name);
  return names;
}

}  // namespace posefix::pose
