// Compiled plans on both backends against the reference network's activations and coordinates (golden/network).
#include <gtest/gtest.h>

#include <algorithm>

#include "compiler/testing/golden_network.h"
#include "pose/golden_test_files.h"

namespace posefix::compiler {
namespace {

constexpr double kActivationTolerance = 2e-5;  // of the largest value
constexpr double kCoordTolerancePx = 5e-3;

// Name in the golden file -> node of the graph.
std::vector<std::pair<std::string, std::string>> activations_of(const graph::Graph& graph) {
  std::vector<std::pair<std::string, std::string>> names{{"logits", "logits"}};
  std::string last_of_block[5];
  for (const graph::Node& node : graph.nodes()) {
    const std::string& name = node.name;
    if (name.ends_with("/conv1/Relu") && name.find("/block") == std::string::npos) names.emplace_back("conv1", name);
    if (name.ends_with("/pool1")) names.emplace_back("pool1", name);
    for (int block = 1; block <= 4; ++block) {
      const bool is_unit = name.find("/block" + std::to_string(block) + "/") != std::string::npos;
      if (is_unit && name.ends_with("bottleneck_v1/Relu")) last_of_block[block] = name;
    }
    if (name.starts_with("up") && name.ends_with("/Relu")) names.emplace_back(name.substr(0, 3), name);
  }
  for (int block = 1; block <= 4; ++block) names.emplace_back("block" + std::to_string(block), last_of_block[block]);
  return names;
}

void expect_close(std::span<const float> found, std::span<const float> expected, const std::string& what) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  double largest = 0;
  double difference = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    largest = std::max(largest, std::fabs(double{expected[i]}));
    difference = std::max(difference, std::fabs(double{found[i]} - double{expected[i]}));
  }
  EXPECT_LE(difference, kActivationTolerance * largest) << what << ": largest value " << largest;
}

// (sum, sum of squares) of an activation, where the file stores no more.
void expect_sums(std::span<const float> found, std::span<const double> expected, const std::string& what) {
  double sum = 0;
  double squares = 0;
  for (const float value : found) {
    sum += value;
    squares += double{value} * value;
  }
  const double scale = std::sqrt(expected[1] * static_cast<double>(found.size()));  // bounds the sum of magnitudes
  EXPECT_NEAR(sum, expected[0], kActivationTolerance * scale) << what;
  EXPECT_NEAR(squares, expected[1], 2 * kActivationTolerance * expected[1]) << what;
}

struct GoldenCase {
  tensorfile::SafeTensors expected;
  graph::Graph graph;
  NamedTensors weights;
  int64_t batch = 0;

  explicit GoldenCase(tensorfile::SafeTensors file) : expected(std::move(file)) {
    const auto& meta = expected.metadata;
    const nlohmann::json size = nlohmann::json::parse(meta.at("input_shape"));
    const std::string width = meta.at("width") == "1/1" ? "1" : meta.at("width");
    graph = model::build(network_config(meta.at("backbone"), width, size[0], size[1], std::stod(meta.at("sigma"))),
                         std::stoll(meta.at("joints")));
    weights = formula_weights(graph, std::stoull(meta.at("seed")));
    batch = std::stoll(meta.at("batch"));
  }
};

void check_values(const runtime::Session& session, const NamedTensors& tensors) {
  const Shape& heatmap = {session.info().height / 4, session.info().width / 4, session.info().joints};
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with("sum_")) {
      expect_sums(session.kept(name.substr(4)), tensor.as<double>(), name);
    } else if (name == "logits_every8") {
      const std::vector<float> logits = session.kept("logits");
      std::vector<float> every8;
      for (int64_t y = 0; y < heatmap[0]; y += 8) {
        for (int64_t x = 0; x < heatmap[1]; x += 8) {
          const auto at = logits.begin() + (y * heatmap[1] + x) * heatmap[2];
          every8.insert(every8.end(), at, at + heatmap[2]);
        }
      }
      expect_close(every8, tensor.f32(), name);
    } else if (!name.starts_with("coord_") && !name.starts_with("input_heatmap")) {
      expect_close(session.kept(name), tensor.f32(), name);
    }
  }
}

void check_backend(const GoldenCase& golden, const NamedTensors& inputs, const std::string& backend) {
  SCOPED_TRACE(backend);
  CompileOptions options;
  options.target = backend;
  for (const auto& [name, node] : activations_of(golden.graph)) options.keep.push_back({name, node});
  const auto session = runtime::open_session(compile(golden.graph, golden.weights, {}, options),
                                             {.backend = backend, .max_batch = golden.batch});
  const GoldenPersons persons(inputs, golden.batch);
  const Refined refined = run(*session, persons);
  check_values(*session, golden.expected.tensors);
  const auto coords = golden.expected.tensors.at("coord_crop_px").f32();
  ASSERT_EQ(refined.coords.size(), coords.size());
  for (size_t i = 0; i < coords.size(); ++i) EXPECT_NEAR(refined.coords[i], coords[i], kCoordTolerancePx) << i;
}

TEST(NetworkGolden, PlansOnBothBackendsEqualTheReference) {
  const std::filesystem::path folder = pose::goldens() / "network";
  int cases = 0;
  for (const auto& path : pose::golden_files(folder, ".safetensors")) {
    tensorfile::SafeTensors file = tensorfile::read_safetensors(path);
    const auto mode = file.metadata.find("mode");
    if (mode == file.metadata.end() || !mode->second.starts_with("inference")) continue;
    SCOPED_TRACE(path.filename().string());
    ++cases;
    const GoldenCase golden(std::move(file));
    const auto inputs = tensorfile::read_safetensors(folder / golden.expected.metadata.at("inputs")).tensors;
    for (const char* backend : {"reference", "cpu"}) check_backend(golden, inputs, backend);
  }
  EXPECT_GT(cases, 0) << "no inference files in " << folder;
}

}  // namespace
}  // namespace posefix::compiler
