#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "base/error.h"
#include "exporters/graphdef_write.h"
#include "exporters/imported_model.h"
#include "exporters/interpreter.h"
#include "exporters/onnx_write.h"
#include "model/posefix_net.h"

namespace posefix::exporters {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

graph::Graph small_network() {
  model::ModelConfig config;
  config.width = "1/16";
  config.input_size = {64, 32};
  return model::build(config, 3);
}

std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput);
    return error.what();
  }
  return "nothing was thrown";
}

Array run(Dialect dialect, OpNode node, const std::vector<Array>& inputs) {
  std::vector<const Array*> pointers;
  for (const Array& input : inputs) pointers.push_back(&input);
  std::vector<Array> outputs(1);
  apply(node, dialect, pointers, outputs);
  return outputs[0];
}

void expect_same_weights(const NamedTensors& got, const NamedTensors& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    ASSERT_TRUE(got.contains(name)) << name;
    EXPECT_EQ(got.at(name).shape(), tensor.shape()) << name;
    EXPECT_TRUE(std::ranges::equal(got.at(name).bytes(), tensor.bytes())) << name;
  }
}

TEST(Exporters, WeightsComeBackBitForBitUnderTheirNames) {
  const graph::Graph graph = small_network();
  const NamedTensors weights = model::initialise(graph, 5);
  const ImportedModel pb = parse_model(encode_graphdef(graph, weights, {}), ModelFormat::kGraphDef, "a.pb");
  expect_same_weights(pb.weights, weights);
  const ImportedModel onnx = parse_model(encode_onnx(graph, weights, {}), ModelFormat::kOnnx, "a.onnx");
  expect_same_weights(onnx.weights, weights);
}

TEST(Exporters, BytesAreDeterministic) {
  const graph::Graph graph = small_network();
  const NamedTensors weights = model::initialise(graph, 5);
  EXPECT_EQ(encode_graphdef(graph, weights, {.batch = 3}), encode_graphdef(graph, weights, {.batch = 3}));
  EXPECT_EQ(encode_onnx(graph, weights, {}), encode_onnx(graph, weights, {}));
}

TEST(Exporters, MetadataComesBack) {
  const graph::Graph graph = small_network();
  OnnxOptions options;
  options.metadata = {{"posefix.config", "model.width: \"1/16\"\n"}};
  const std::string bytes = encode_onnx(graph, model::initialise(graph, 5), options);
  EXPECT_EQ(parse_model(bytes, ModelFormat::kOnnx, "a.onnx").metadata.at("posefix.config"), "model.width: \"1/16\"\n");
}

TEST(Exporters, WhatCannotBeWrittenIsRefused) {
  const graph::Graph graph = small_network();
  NamedTensors weights = model::initialise(graph, 5);
  OnnxOptions old;
  old.opset = 12;
  EXPECT_THAT(refusal([&] { encode_onnx(graph, weights, old); }), HasSubstr("opset 12"));
  OnnxOptions flip;
  flip.flip = true;
  EXPECT_THAT(refusal([&] { encode_onnx(graph, weights, flip); }), HasSubstr("mirror partner of 3 joints"));
  weights.erase("out/biases");
  EXPECT_THAT(refusal([&] { encode_graphdef(graph, weights, {}); }), HasSubstr("'out/biases'"));
}

TEST(Exporters, DamagedFilesAreRefused) {
  const graph::Graph graph = small_network();
  const NamedTensors weights = model::initialise(graph, 5);
  const std::string pb = encode_graphdef(graph, weights, {});
  EXPECT_THAT(refusal([&] { parse_model(pb.substr(0, pb.size() / 2), ModelFormat::kGraphDef, "a.pb"); }),
              HasSubstr("a.pb: not a TensorFlow GraphDef"));
  EXPECT_THAT(refusal([&] { parse_model("", ModelFormat::kOnnx, "a.onnx"); }), HasSubstr("without nodes"));
  EXPECT_THAT(refusal([&] { guess_format("x.bin", "PK"); }), HasSubstr("neither"));
}

// A sigma, a decoding or an operator that is not what it should be is noticed.
TEST(Exporters, OtherArithmeticIsNotTakenForRendering) {
  const graph::Graph graph = small_network();
  const std::string bytes = encode_graphdef(graph, model::initialise(graph, 5), {});
  OpGraph file = parse_graphdef(bytes, "a.pb");
  Tensor& peak = file.constants.at("input_heatmap/peak");
  peak.mutable_f32()[0] = 1;
  EXPECT_THAT(refusal([&] { understand(file); }), HasSubstr("is not"));
  OpGraph other = parse_graphdef(bytes, "a.pb");
  other.constants.at("coords_heatmap_px/x/grid").mutable_f32()[0] = 9;
  EXPECT_THAT(refusal([&] { understand(other); }), HasSubstr("not the expected position"));
}

TEST(Interpreter, StridedSlicesAndReductions) {
  const Array x{{2, 3}, {0, 1, 2, 3, 4, 5}};
  OpNode slice{"s", "StridedSlice", {}, {"s"}, {{"shrink_axis_mask", int64_t{1}}, {"end_mask", int64_t{2}}}};
  const Array column = run(Dialect::kTensorFlow, slice, {x, {{2}, {1, 1}}, {{2}, {2, 0}}, {{2}, {1, 1}}});
  EXPECT_THAT(column.shape, ElementsAre(2));
  EXPECT_THAT(column.values, ElementsAre(4, 5));
  const Array reversed =
      run(Dialect::kOnnx, {"s", "Slice", {}, {"s"}, {}}, {x, {{1}, {-1}}, {{1}, {-9}}, {{1}, {1}}, {{1}, {-1}}});
  EXPECT_THAT(reversed.values, ElementsAre(2, 1, 0, 5, 4, 3));
  const Array sum = run(Dialect::kOnnx, {"r", "ReduceSum", {}, {"r"}, {{"keepdims", int64_t{0}}}}, {x, {{1}, {-1}}});
  EXPECT_THAT(sum.values, ElementsAre(3, 12));
  const Array mean = run(Dialect::kTensorFlow, {"r", "Mean", {}, {"r"}, {{"keep_dims", int64_t{1}}}}, {x, {{1}, {0}}});
  EXPECT_THAT(mean.shape, ElementsAre(1, 3));
  EXPECT_THAT(mean.values, ElementsAre(1.5, 2.5, 3.5));
}

TEST(Interpreter, HostileShapesAreRefused) {
  const Array big{{2}, {1e9, 1e9}};
  const Array one{{}, {1}};
  EXPECT_THROW(run(Dialect::kTensorFlow, {"f", "Fill", {}, {"f"}, {}}, {big, one}), Error);
  EXPECT_THROW(run(Dialect::kTensorFlow, {"t", "Tile", {}, {"t"}, {}}, {{{1}, {1}}, {{1}, {1e12}}}), Error);
  EXPECT_THROW(run(Dialect::kOnnx, {"g", "Gather", {}, {"g"}, {}}, {{{1}, {1}}, {{1}, {3}}}), Error);
}

}  // namespace
}  // namespace posefix::exporters
