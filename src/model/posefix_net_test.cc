#include "model/posefix_net.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "model/backbone.h"
#include "model/layers.h"

namespace posefix::model {
namespace {

using graph::Graph;
using graph::NodeId;
using graph::Op;
using testing::HasSubstr;

// A backbone of one file: what a stranger would write (docs/architecture.md shows the same lines).
const BackboneRegistration five_convolutions{
    "test_five_convolutions", [](Graph& graph, NodeId x, const ModelConfig& config) {
      for (int i = 1; i <= 5; ++i) {
        x = conv_bn(graph, x, "five/conv" + std::to_string(i), 3, 64 / config.width_divisor(), 2, Activation::kRelu);
      }
      return x;
    }};

ModelConfig config_of(const std::string& backbone, const std::string& width, int64_t height, int64_t width_px) {
  ModelConfig config;
  config.backbone = backbone;
  config.width = width;
  config.input_size = {height, width_px};
  return config;
}

TEST(PosefixNet, ABackboneInOneFileIsEnough) {
  const Graph graph = build(config_of("test_five_convolutions", "1/2", 128, 96), 5);
  EXPECT_EQ(to_string(graph.node(graph.find("logits")).type), "f32[B,32,24,5]");
  EXPECT_EQ(graph.node(graph.find("five/conv1/weights")).type.shape, (Shape{3, 3, 8, 32}));
}

TEST(PosefixNet, EveryBackboneSizeAndWidthHasTheHeatmapsItPromises) {
  for (const char* backbone : {"resnet18", "resnet34", "resnet50", "resnet101", "resnet152"}) {
    for (const char* width : {"1", "1/2", "1/4", "1/8", "1/16"}) {
      for (const auto& [height, width_px] : {std::pair<int64_t, int64_t>{256, 192}, {384, 288}, {128, 96}}) {
        SCOPED_TRACE(std::string(backbone) + " " + width);
        const Graph graph = build(config_of(backbone, width, height, width_px), 17);
        EXPECT_EQ(graph.node(graph.find("logits")).type.shape, (Shape{graph::kBatch, height / 4, width_px / 4, 17}));
      }
    }
  }
}

TEST(PosefixNet, SigmaFollowsTheInputUnlessGiven) {
  EXPECT_EQ(config_of("resnet50", "1", 256, 192).resolved_sigma_px(), 7);
  ModelConfig large = config_of("resnet50", "1", 384, 288);
  EXPECT_EQ(large.resolved_sigma_px(), 9);
  large.sigma_px = 5;
  EXPECT_EQ(large.resolved_sigma_px(), 5);
}

TEST(PosefixNet, UnknownBackboneNamesTheNearest) {
  try {
    build(config_of("resnet51", "1", 256, 192), 17);
    FAIL() << "expected an Error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("'resnet50'"));
  }
}

TEST(Initialise, DependsOnSeedAndNameAlone) {
  const Graph graph = build(config_of("resnet50", "1/16", 128, 96), 17);
  const NamedTensors first = initialise(graph, 1);
  const NamedTensors again = initialise(graph, 1);
  const NamedTensors other = initialise(graph, 2);
  const auto values = [](const NamedTensors& weights, const char* name) {
    const auto span = weights.at(name).f32();
    return std::vector<float>(span.begin(), span.end());
  };
  const char* const conv = "resnet_v1_50/block3/unit_2/bottleneck_v1/conv2/weights";
  EXPECT_EQ(values(first, conv), values(again, conv));
  EXPECT_NE(values(first, conv), values(other, conv));
  double sum_of_squares = 0;
  for (const float value : values(first, conv)) sum_of_squares += double{value} * value;
  const double variance = sum_of_squares / static_cast<double>(first.at(conv).count());
  EXPECT_NEAR(variance, 2.0 / (9 * 16), 0.15 * 2.0 / (9 * 16));
  for (const float value : values(first, "up2/weights")) EXPECT_LE(std::abs(value), 0.02F);
  EXPECT_EQ(values(first, "up1/BatchNorm/gamma").front(), 1);
  EXPECT_EQ(values(first, "out/biases").front(), 0);
}

TEST(CheckWeights, ListsMissingSurplusAndWrongShapesInOneTable) {
  const Graph graph = build(config_of("resnet50", "1/16", 128, 96), 17);
  NamedTensors weights = initialise(graph, 1);
  check_weights(graph, weights, "good.safetensors");
  weights.erase("up1/weights");
  weights.emplace("logits/weights", Tensor(DType::kF32, {1}));
  weights["out/biases"] = Tensor(DType::kF32, {16});
  try {
    check_weights(graph, weights, "bad.safetensors");
    FAIL() << "expected an Error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("bad.safetensors"));
    EXPECT_THAT(error.what(), HasSubstr("missing      up1/weights"));
    EXPECT_THAT(error.what(), HasSubstr("surplus      logits/weights"));
    EXPECT_THAT(error.what(), HasSubstr("expected [17], found [16]"));
  }
}

}  // namespace
}  // namespace posefix::model
