// For golden tests: the folder of network goldens, the weights' hash formula (golden/network/README.md), and what a
// file's name says about the network in it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <regex>
#include <string>
#include <vector>

#include "base/tensor.h"
#include "base/testing/project_folder.h"
#include "model/config.h"
#include "model/posefix_net.h"
#include "tensorfile/safetensors.h"

namespace posefix::torchgraph::testing {

inline std::filesystem::path golden_folder(const std::string& name) {
  const char* root = std::getenv("POSEFIX_GOLDENS");
  return (root != nullptr ? std::filesystem::path(root) : posefix::project_folder() / "tests/golden") / name;
}

// Files of the folder whose whole name matches, sorted; empty if the folder is absent.
inline std::vector<std::filesystem::path> golden_files(const std::string& folder, const std::string& pattern) {
  std::vector<std::filesystem::path> files;
  std::error_code absent;
  for (const auto& entry : std::filesystem::directory_iterator(golden_folder(folder), absent)) {
    if (std::regex_match(entry.path().filename().string(), std::regex(pattern))) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// BACKBONE_wD_HxW[...] somewhere in the file's name.
inline model::ModelConfig config_of_name(const std::string& file_name) {
  std::smatch match;
  const std::regex pattern("(resnet[0-9]+)_w([0-9]+)_([0-9]+)x([0-9]+)");
  model::ModelConfig config;
  EXPECT_TRUE(std::regex_search(file_name, match, pattern)) << file_name;
  if (match.empty()) return config;
  config.backbone = match[1];
  config.width = match[2] == "1" ? "1" : "1/" + match[2].str();
  config.input_size = {std::stoll(match[3]), std::stoll(match[4])};
  return config;
}

// One uniform number in [-1, 1) per element.
inline double hash_uniform(const std::string& name, uint64_t seed, uint64_t i) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  uint64_t z = hash + seed * 0xD1B54A32D192ED03 + i + 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  z = z ^ (z >> 31);
  return static_cast<double>(z >> 40) / 8388608.0 - 1.0;
}

struct OffsetScale {
  double offset;
  double scale;
};

inline OffsetScale hash_range(const std::string& name, const Shape& shape) {
  const auto contains = [&](const char* part) { return name.find(part) != std::string::npos; };
  const double small = name.starts_with("up3/") ? 0.01 : 1.0;
  const bool stem = std::regex_search(name, std::regex("^resnet_v1_[0-9]+/conv1/"));
  const bool conv3 = contains("/conv3/");
  if (name.ends_with("/weights")) {
    const auto dim = [&](size_t i) { return static_cast<double>(shape.at(i)); };
    if (name.starts_with("up")) return {0, small * std::sqrt(6 / (4 * dim(3)))};
    if (name.starts_with("out/")) return {0, 0.5 * std::sqrt(6 / dim(2))};
    return {0, std::sqrt(6 / (dim(0) * dim(1) * dim(2)))};
  }
  if (name.ends_with("/biases")) return {0, 0.5};
  if (name.ends_with("/gamma")) return conv3 ? OffsetScale{0.125, 0.0625} : OffsetScale{1, 0.25};
  if (name.ends_with("/beta")) return {0, conv3 ? 0.0625 : 0.25};
  if (name.ends_with("/moving_mean")) return {0, stem ? 8 : 0.25 * small};
  EXPECT_TRUE(name.ends_with("/moving_variance")) << name;
  return stem ? OffsetScale{1024, 512} : OffsetScale{small * small, 0.5 * small * small};
}

inline NamedTensors hash_weights(const graph::Graph& graph, uint64_t seed) {
  NamedTensors weights;
  for (const graph::NodeId id : graph.all(graph::Op::kWeight)) {
    const graph::Node& node = graph.node(id);
    Tensor tensor(DType::kF32, node.type.shape);
    const OffsetScale range = hash_range(node.name, node.type.shape);
    uint64_t i = 0;
    for (float& value : tensor.mutable_f32()) {
      value = static_cast<float>(range.offset + range.scale * hash_uniform(node.name, seed, i++));
    }
    weights.emplace(node.name, std::move(tensor));
  }
  return weights;
}

// The graph's name of a golden's activation: "block2" is the last ReLU of that block, "up1" its ReLU.
inline std::string activation_node(const graph::Graph& graph, const std::string& key) {
  static const std::map<std::string, std::string> kNames{
      {"coord_crop_px", "coords"}, {"coord_heatmap_px", "coords_heatmap_px"}, {"input_heatmap", "input_heatmap"}};
  if (const auto found = kNames.find(key); found != kNames.end()) return found->second;
  std::string last;
  for (const graph::Node& node : graph.nodes()) {
    if (node.name == key || std::regex_match(node.name, std::regex("(resnet_v1_[0-9]+/)?" + key + "(/.*Relu)?"))) {
      last = node.name;
    }
  }
  EXPECT_FALSE(last.empty()) << "no node for " << key;
  return last;
}

inline std::vector<double> as_doubles(const Tensor& tensor) {
  std::vector<double> values;
  const auto append = [&](auto span) { values.assign(span.begin(), span.end()); };
  if (tensor.dtype() == DType::kF32) append(tensor.as<float>());
  if (tensor.dtype() == DType::kF64) append(tensor.as<double>());
  if (tensor.dtype() == DType::kU8) append(tensor.as<uint8_t>());
  EXPECT_EQ(static_cast<int64_t>(values.size()), tensor.count());
  return values;
}

inline double max_abs(const std::vector<double>& values) {
  double largest = 0;
  for (const double value : values) largest = std::max(largest, std::fabs(value));
  return largest;
}

inline double max_abs_difference(const std::vector<double>& a, const std::vector<double>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = a.size() == b.size() ? 0 : HUGE_VAL;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const double difference = std::fabs(a[i] - b[i]);
    if (!(difference <= largest)) largest = difference;  // NaN too
  }
  return largest;
}

inline double l2(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum);
}

inline std::vector<double> minus(std::vector<double> a, const std::vector<double>& b) {
  EXPECT_EQ(a.size(), b.size());
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) a[i] -= b[i];
  return a;
}

}  // namespace posefix::torchgraph::testing
