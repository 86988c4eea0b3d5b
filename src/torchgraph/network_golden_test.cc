// Inference of the reference network, stage by stage: golden/network.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "torchgraph/image_input.h"
#include "torchgraph/layout.h"
#include "torchgraph/network.h"
#include "torchgraph/testing/golden_network.h"

namespace posefix::torchgraph {
namespace {

using namespace testing;
using tensorfile::read_safetensors;
using tensorfile::SafeTensors;

constexpr double kActivationTolerance = 2e-5;  // of the largest value
constexpr double kCoordTolerancePx = 5e-3;
constexpr double kFloat64Tolerance = 1e-9;

// The first `batch` rows.
Network::Inputs read_inputs(const SafeTensors& file, int64_t batch) {
  const Tensor& image = file.tensors.at("image_u8");
  const at::Tensor whole = subtract_mean(image.as<uint8_t>(), image.shape()[0], image.shape()[1], image.shape()[2],
                                         {model::kImageMeanBgr[0], model::kImageMeanBgr[1], model::kImageMeanBgr[2]});
  if (const auto stored = file.tensors.find("image"); stored != file.tensors.end()) {
    EXPECT_TRUE(at::equal(whole, to_torch(stored->second, DType::kF32).permute({0, 3, 1, 2})));
  }
  return {whole.narrow(0, 0, batch), to_torch(file.tensors.at("pose"), DType::kF32).narrow(0, 0, batch),
          to_torch(file.tensors.at("valid"), DType::kF32).narrow(0, 0, batch)};
}

struct Case {
  model::ModelConfig config;
  graph::Graph graph;
  Network::Inputs inputs;
};

Case read_case(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata, int64_t batch,
               const std::string& inputs_name) {
  Case result{config_of_name(path.filename().string()), {}, {}};
  result.config.sigma_px = std::stod(metadata.at("sigma"));
  result.inputs = read_inputs(read_safetensors(path.parent_path() / inputs_name), batch);
  result.graph = model::build(result.config, result.inputs.valid.size(1));
  return result;
}

std::map<std::string, std::vector<double>> run(const Case& c, uint64_t seed, const NetworkOptions& options,
                                               const std::vector<std::string>& nodes) {
  Network network(c.graph, hash_weights(c.graph, seed), options);
  const std::vector<at::Tensor> values = network.forward(c.inputs, Mode::kInference, nodes);
  std::map<std::string, std::vector<double>> result;
  for (size_t i = 0; i < nodes.size(); ++i) {
    result[nodes[i]] = as_doubles(from_torch(feature_map_from_torch(values[i])));
  }
  return result;
}

// [B,h,w,K] -> every `step`-th row and column
std::vector<double> every(const std::vector<double>& values, const Shape& shape, int64_t step) {
  std::vector<double> result;
  for (int64_t i = 0; i < static_cast<int64_t>(values.size()); ++i) {
    const int64_t x = i / shape[3] % shape[2];
    const int64_t y = i / (shape[3] * shape[2]) % shape[1];
    if (x % step == 0 && y % step == 0) result.push_back(values[static_cast<size_t>(i)]);
  }
  return result;
}

void compare(const std::string& key, const Tensor& golden, const std::vector<double>& actual, const Shape& shape) {
  const std::vector<double> expected = as_doubles(golden);
  if (key.starts_with("sum_")) {  // (sum, sum of squares)
    double sum = 0;
    double squares = 0;
    double magnitude = 0;
    for (const double value : actual) {
      sum += value;
      squares += value * value;
      magnitude += std::fabs(value);
    }
    EXPECT_NEAR(sum, expected[0], kActivationTolerance * magnitude) << key;
    EXPECT_NEAR(squares, expected[1], 2 * kActivationTolerance * expected[1]) << key;
  } else if (key.ends_with("_every8")) {
    EXPECT_LE(max_abs_difference(every(actual, shape, 8), expected), kActivationTolerance * max_abs(expected)) << key;
  } else {
    const bool coords = key.starts_with("coord_");
    EXPECT_LE(max_abs_difference(actual, expected),
              coords ? kCoordTolerancePx : kActivationTolerance * max_abs(expected))
        << key;
  }
}

std::string plain_key(std::string key) {
  if (key.starts_with("sum_")) key = key.substr(4);
  return key.substr(0, key.find("_every8"));
}

// input_heatmap holds only the joints listed beside it.
std::vector<double> select_joints(const std::vector<double>& heatmap, int64_t joints, std::span<const int32_t> chosen) {
  std::vector<double> result;
  for (size_t cell = 0; cell < heatmap.size(); cell += static_cast<size_t>(joints)) {
    for (const int32_t joint : chosen) result.push_back(heatmap[cell + static_cast<size_t>(joint)]);
  }
  return result;
}

void check_file(const std::filesystem::path& path, bool channels_last) {
  SCOPED_TRACE(path.string());
  const SafeTensors golden = read_safetensors(path);
  const int64_t batch = std::stoll(golden.metadata.at("batch"));
  const Case c = read_case(path, golden.metadata, batch, golden.metadata.at("inputs"));
  std::vector<std::string> nodes;
  for (const auto& [key, tensor] : golden.tensors) {
    if (key != "input_heatmap_joints") nodes.push_back(activation_node(c.graph, plain_key(key)));
  }
  NetworkOptions options;
  options.channels_last = channels_last;
  auto values = run(c, std::stoull(golden.metadata.at("seed")), options, nodes);
  for (const auto& [key, tensor] : golden.tensors) {
    if (key == "input_heatmap_joints") continue;
    const std::string node = activation_node(c.graph, plain_key(key));
    std::vector<double>& actual = values.at(node);
    if (key == "input_heatmap") {
      actual = select_joints(actual, c.graph.node(c.graph.find("logits")).type.shape[3],
                             golden.tensors.at("input_heatmap_joints").as<int32_t>());
    }
    const graph::NodeId id = c.graph.find_or_none(node);
    compare(key, tensor, actual, id < 0 ? Shape{} : c.graph.node(id).type.shape);
  }
}

const char* const kCasePattern = "resnet[0-9]+_w[0-9]+_[0-9]+x[0-9]+(_(?!float64)[a-z]+)?\\.safetensors";

TEST(NetworkGolden, InferenceOfEveryCase) {
  const auto files = golden_files("network", kCasePattern);
  ASSERT_FALSE(files.empty()) << golden_folder("network");
  for (const auto& path : files) check_file(path, false);
}

TEST(NetworkGolden, InferenceInChannelsLastOrder) {
  const auto files = golden_files("network", "resnet[0-9]+_w16_128x96\\.safetensors");
  ASSERT_FALSE(files.empty()) << golden_folder("network");
  for (const auto& path : files) check_file(path, true);
}

TEST(NetworkGolden, InferenceInDouble) {
  const auto files = golden_files("network", "resnet[0-9]+_w[0-9]+_[0-9]+x[0-9]+_float64\\.safetensors");
  ASSERT_FALSE(files.empty()) << golden_folder("network");
  for (const auto& path : files) {
    SCOPED_TRACE(path.string());
    const SafeTensors golden = read_safetensors(path);
    std::string sibling = path.string();
    sibling.erase(sibling.find("_float64"), std::string("_float64").size());
    const SafeTensors float32 = read_safetensors(sibling);
    std::map<std::string, const Tensor*> wanted;
    for (const auto& [key, tensor] : golden.tensors) {
      if (key.starts_with("inference/")) wanted[key.substr(std::string("inference/").size())] = &tensor;
    }
    ASSERT_FALSE(wanted.empty());
    const Case c =
        read_case(path, float32.metadata, wanted.begin()->second->shape()[0], golden.metadata.at("inference_inputs"));
    std::vector<std::string> nodes;
    for (const auto& [key, tensor] : wanted) nodes.push_back(activation_node(c.graph, key));
    NetworkOptions options;
    options.dtype = DType::kF64;
    auto values = run(c, std::stoull(golden.metadata.at("seed")), options, nodes);
    for (const auto& [key, tensor] : wanted) {
      const std::vector<double> expected = as_doubles(*tensor);
      EXPECT_LE(max_abs_difference(values.at(activation_node(c.graph, key)), expected),
                kFloat64Tolerance * max_abs(expected))
          << key;
    }
  }
}

TEST(NetworkGolden, HashFormulaGivesTheStoredWeights) {
  const auto files = golden_files("network", "weights_resnet[0-9]+_w[0-9]+\\.safetensors");
  ASSERT_FALSE(files.empty()) << golden_folder("network");
  for (const auto& path : files) {
    SCOPED_TRACE(path.string());
    const SafeTensors golden = read_safetensors(path);
    const model::ModelConfig config = config_of_name(path.stem().string().substr(8) + "_128x96");
    const auto joints = golden.tensors.at("out/biases").shape()[0];
    const graph::Graph graph = model::build(config, joints);
    const NamedTensors weights = hash_weights(graph, std::stoull(golden.metadata.at("seed")));
    EXPECT_EQ(weights.size(), golden.tensors.size());
    for (const auto& [name, tensor] : golden.tensors) {
      EXPECT_EQ(max_abs_difference(as_doubles(weights.at(name)), as_doubles(tensor)), 0) << name;
    }
    // What goes into a Network comes out of it, whatever the memory order.
    for (const bool channels_last : {false, true}) {
      NetworkOptions options;
      options.channels_last = channels_last;
      const Network network(graph, weights, options);
      for (const auto& [name, tensor] : network.export_variables()) {
        EXPECT_EQ(tensor.shape(), weights.at(name).shape()) << name;
        EXPECT_EQ(max_abs_difference(as_doubles(tensor), as_doubles(weights.at(name))), 0) << name;
      }
    }
  }
}

}  // namespace
}  // namespace posefix::torchgraph
