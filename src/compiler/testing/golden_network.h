// The network of golden/network: weights by the README's formula, configuration from a file's metadata, and its inputs.
// For tests alone.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "compiler/compile.h"
#include "model/posefix_net.h"
#include "runtime/session.h"
#include "tensorfile/safetensors.h"

namespace posefix::compiler {

inline Tensor formula_weights(const std::string& name, const Shape& shape, uint64_t seed) {
  const auto ends_with = [&](const char* suffix) { return name.ends_with(suffix); };
  const double small = name.starts_with("up3/") ? 0.01 : 1;
  const bool is_stem = name.find("/block") == std::string::npos && name.starts_with("resnet");
  const bool is_conv3 = name.find("/conv3/") != std::string::npos;
  double offset = 0;
  double scale = 0;
  if (ends_with("/weights")) {
    const auto taps = static_cast<double>(shape[0] * shape[1]);
    const auto in = static_cast<double>(name.starts_with("up") ? shape[3] : shape[2]);
    scale = std::sqrt(6 / (taps * in));
    if (name.starts_with("up")) scale = small * std::sqrt(6 / (4 * in));
    if (name == "out/weights") scale = 0.5 * std::sqrt(6 / in);
  } else if (name == "out/biases") {
    scale = 0.5;
  } else if (ends_with("/gamma")) {
    offset = is_conv3 ? 0.125 : 1;
    scale = is_conv3 ? 0.0625 : 0.25;
  } else if (ends_with("/beta")) {
    scale = is_conv3 ? 0.0625 : 0.25;
  } else if (ends_with("/moving_mean")) {
    scale = is_stem ? 8 : 0.25 * small;
  } else {
    offset = is_stem ? 1024 : small * small;
    scale = is_stem ? 512 : 0.5 * small * small;
  }
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  Tensor tensor(DType::kF32, shape);
  uint64_t index = 0;
  for (float& value : tensor.mutable_f32()) {
    uint64_t z = hash + seed * 0xD1B54A32D192ED03 + index++ + 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    z ^= z >> 31;
    value = static_cast<float>(offset + scale * (static_cast<double>(z >> 40) / 8388608.0 - 1));
  }
  return tensor;
}

inline NamedTensors formula_weights(const graph::Graph& graph, uint64_t seed) {
  NamedTensors weights;
  for (const graph::NodeId id : graph.all(graph::Op::kWeight)) {
    const graph::Node& node = graph.node(id);
    weights[node.name] = formula_weights(node.name, node.type.shape, seed);
  }
  return weights;
}

inline model::ModelConfig network_config(const std::string& backbone, const std::string& width, int64_t height,
                                         int64_t width_px, double sigma_px) {
  model::ModelConfig config;
  config.backbone = backbone;
  config.width = width;
  config.input_size = {height, width_px};
  config.sigma_px = sigma_px;
  return config;
}

// Persons of an inputs_*.safetensors file, the first `count` of them repeated as often as asked.
struct GoldenPersons {
  std::vector<uint8_t> crops;
  std::vector<float> pose;
  std::vector<float> valid;
  int64_t size = 0;

  explicit GoldenPersons(const NamedTensors& inputs, int64_t count) : size(count) {
    const int64_t available = inputs.at("pose").shape()[0];
    const auto repeat = [&](const auto& from, auto& to) {
      const size_t each = from.size() / static_cast<size_t>(available);
      for (int64_t b = 0; b < count; ++b) {
        const auto begin = from.begin() + static_cast<ptrdiff_t>(static_cast<size_t>(b % available) * each);
        to.insert(to.end(), begin, begin + static_cast<ptrdiff_t>(each));
      }
    };
    repeat(inputs.at("image_u8").as<uint8_t>(), crops);
    repeat(inputs.at("pose").f32(), pose);
    repeat(inputs.at("valid").f32(), valid);
  }

  runtime::CropBatch batch() const { return {size, crops, pose, valid}; }
};

struct Refined {
  std::vector<float> coords;
  std::vector<float> spread;
};
inline Refined run(runtime::Session& session, const GoldenPersons& persons) {
  Refined result;
  result.coords.resize(persons.pose.size());
  result.spread.resize(persons.valid.size());
  session.run(persons.batch(), {result.coords, result.spread});
  return result;
}

}  // namespace posefix::compiler
