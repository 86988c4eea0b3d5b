#include "graph/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/testing/bad_input_message.h"

namespace posefix::graph {
namespace {

using testing::HasSubstr;

struct Stem {
  Graph graph;
  NodeId image = graph.add_input("image", {DType::kF32, {kBatch, 64, 32, 3}});
  NodeId weights = graph.add_weight("w", {7, 7, 3, 8});
};

TEST(Graph, InfersConvolutionTypes) {
  Stem stem;
  const NodeId padded = stem.graph.add(Op::kPad, "pad", {stem.image}, {.pads = {3, 3, 3, 3}});
  const NodeId conv = stem.graph.add(Op::kConv2d, "conv", {padded, stem.weights}, {.stride = 2});
  EXPECT_EQ(to_string(stem.graph.node(conv).type), "f32[B,32,16,8]");
  const NodeId folded =
      stem.graph.add(Op::kConv2d, "folded", {stem.image, stem.weights}, {.stride = 2, .pads = {3, 3, 3, 3}});
  EXPECT_EQ(stem.graph.node(folded).type, stem.graph.node(conv).type);
  stem.graph.verify();
}

TEST(Graph, InfersTransposedConvolutionAndDecode) {
  Graph graph;
  const NodeId x = graph.add_input("x", {DType::kF32, {kBatch, 8, 6, 16}});
  const NodeId weights = graph.add_weight("w", {4, 4, 5, 16});
  const NodeId up = graph.add(Op::kConvTranspose2d, "up", {x, weights}, {.stride = 2});
  EXPECT_EQ(to_string(graph.node(up).type), "f32[B,16,12,5]");
  EXPECT_EQ(to_string(graph.node(graph.add(Op::kSoftArgmax, "xy", {up})).type), "f32[B,5,2]");
  EXPECT_EQ(to_string(graph.node(graph.add(Op::kHeatmapSpread, "spread", {up})).type), "f32[B,5]");
}

TEST(Graph, NamesTheNodeThatDoesNotFit) {
  Stem stem;
  const NodeId wrong = stem.graph.add_weight("wrong", {3, 3, 4, 8});
  const std::string message = bad_input_message([&] { stem.graph.add(Op::kConv2d, "conv9", {stem.image, wrong}); });
  EXPECT_THAT(message, HasSubstr("conv9"));
  EXPECT_THAT(message, HasSubstr("take 4 channels, the input has 3"));
  EXPECT_THAT(bad_input_message([&] { stem.graph.add(Op::kRelu, "later", {17}); }), HasSubstr("later"));
  EXPECT_THAT(bad_input_message([&] { stem.graph.add(Op::kAdd, "one", {stem.image}); }), HasSubstr("2 to 2 inputs"));
}

TEST(Graph, VerifyRefusesTakenNamesAndUnreadAttributes) {
  Stem stem;
  stem.graph.add(Op::kRelu, "image", {stem.image});
  EXPECT_THAT(bad_input_message([&] { stem.graph.verify(); }), HasSubstr("empty or taken"));

  Stem other;
  other.graph.add(Op::kRelu, "relu", {other.image}, {.sigma = 3});
  EXPECT_THAT(bad_input_message([&] { other.graph.verify(); }), HasSubstr("does not read"));
}

TEST(Graph, DumpsEveryNode) {
  Stem stem;
  const NodeId conv = stem.graph.add(Op::kConv2d, "conv", {stem.image, stem.weights}, {.stride = 2});
  stem.graph.add_output("y", conv);
  EXPECT_EQ(stem.graph.to_text(),
            "%0 image = Input() : f32[B,64,32,3]\n"
            "%1 w = Weight() : f32[7,7,3,8]\n"
            "%2 conv = Conv2d(%0, %1) stride=2 : f32[B,29,13,8]\n"
            "output y = %2\n");
}

}  // namespace
}  // namespace posefix::graph
