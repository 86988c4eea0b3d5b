#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/bad_input_message.h"
#include "exporters/graphdef_write.h"
#include "exporters/imported_model.h"
#include "exporters/interpreter.h"
#include "exporters/onnx_write.h"
#include "model/posefix_net.h"
#include "onnx_model.pb.h"
#include "tensorflow_graph.pb.h"

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

struct Array {
  Shape shape;
  std::vector<float> values;
};

// One operator on constants.
struct Computed {
  Shape shape;
  std::vector<double> values;
};
Computed run(Dialect dialect, OpNode node, const std::vector<Array>& inputs) {
  OpGraph graph;
  graph.dialect = dialect;
  for (const Array& input : inputs) {
    node.inputs.push_back(fmt::format("in{}", node.inputs.size()));
    graph.constants.emplace(node.inputs.back(), Tensor::from_f32(input.shape, input.values));
  }
  const std::string output = node.outputs.at(0);
  graph.nodes.push_back(std::move(node));
  Interpreter interpreter(graph, {});
  return {interpreter.shape(output), interpreter.all_elements(output)};
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
  EXPECT_THAT(bad_input_message([&] { encode_onnx(graph, weights, old); }), HasSubstr("opset 12"));
  OnnxOptions flip;
  flip.flip = true;
  EXPECT_THAT(bad_input_message([&] { encode_onnx(graph, weights, flip); }), HasSubstr("mirror partner of 3 joints"));
  weights.erase("out/biases");
  EXPECT_THAT(bad_input_message([&] { encode_graphdef(graph, weights, {}); }), HasSubstr("'out/biases'"));
}

TEST(Exporters, DamagedFilesAreRefused) {
  const graph::Graph graph = small_network();
  const NamedTensors weights = model::initialise(graph, 5);
  const std::string pb = encode_graphdef(graph, weights, {});
  EXPECT_THAT(bad_input_message([&] { parse_model(pb.substr(0, pb.size() / 2), ModelFormat::kGraphDef, "a.pb"); }),
              HasSubstr("not a TensorFlow GraphDef"));
  EXPECT_THAT(bad_input_message([&] { parse_model("", ModelFormat::kOnnx, "a.onnx"); }),
              HasSubstr("a.onnx: is an empty file"));
  EXPECT_THAT(bad_input_message([&] { guess_format("x.bin", "PK"); }), HasSubstr("neither"));
}

// A sigma, a decoding or an operator that is not what it should be is noticed.
TEST(Exporters, OtherArithmeticIsNotTakenForRendering) {
  const graph::Graph graph = small_network();
  const std::string bytes = encode_graphdef(graph, model::initialise(graph, 5), {});
  OpGraph file = parse_graphdef(bytes, "a.pb");
  Tensor& peak = file.constants.at("input_heatmap/peak");
  peak.mutable_f32()[0] = 1;
  EXPECT_THAT(bad_input_message([&] { understand(file); }), HasSubstr("is not"));
  OpGraph other = parse_graphdef(bytes, "a.pb");
  other.constants.at("coords_heatmap_px/x/grid").mutable_f32()[0] = 9;
  EXPECT_THAT(bad_input_message([&] { understand(other); }), HasSubstr("not the expected position"));
}

TEST(Exporters, ASoftmaxThatIsWrittenOutIsRead) {
  const graph::Graph graph = small_network();
  const NamedTensors weights = model::initialise(graph, 5);
  OnnxOptions heat_maps_alone;
  heat_maps_alone.decode = false;
  OpGraph file = parse_onnx(encode_onnx(graph, weights, heat_maps_alone), "a.onnx");
  std::vector<float> grid;  // of 16x8 heat maps: x, y
  for (int i = 0; i < 16 * 8; ++i) {
    grid.push_back(static_cast<float>(i % 8));
    grid.push_back(static_cast<float>(i / 8));
  }
  file.constants.emplace("grid", Tensor::from_f32({16, 8, 2}, grid));
  file.nodes.push_back({"raised", "Exp", {"logits_nhwc"}, {"raised"}, {}});
  file.nodes.push_back({"sum", "ReduceSum", {"raised"}, {"sum"}, {{"axes", std::vector<int64_t>{1, 2}}}});
  file.nodes.push_back({"softmax", "Div", {"raised", "sum"}, {"softmax"}, {}});
  file.nodes.push_back({"out", "Einsum", {"softmax", "grid"}, {"out"}, {{"equation", std::string("bhwk,hwc->bkc")}}});
  file.outputs = {"out"};
  file.finish();
  expect_same_weights(understand(file).weights, weights);
  file.constants.at("grid").mutable_f32()[2 * (3 * 8 + 2)] = 9;  // where a heat map that is tried has its peak
  EXPECT_THAT(bad_input_message([&] { understand(file); }), HasSubstr("not the expected position"));
}

// PyTorch's exporter keeps the weights of a model in a file beside it.
class ExternalOnnx : public testing::Test {
 protected:
  ExternalOnnx() {
    std::filesystem::create_directories(folder_);
    model_.ParseFromString(encode_onnx(graph_, weights_, {}));
    std::string data;
    for (onnx::TensorProto& tensor : *model_.mutable_graph()->mutable_initializer()) {
      tensor.set_data_location(1);
      set(tensor, "location", "m.onnx.data");
      set(tensor, "offset", std::to_string(data.size()));
      set(tensor, "length", std::to_string(tensor.raw_data().size()));
      data += tensor.raw_data();
      tensor.clear_raw_data();
    }
    write_file_atomically(folder_ / "m.onnx.data", data);
  }
  ~ExternalOnnx() override { std::filesystem::remove_all(folder_); }

  static void set(onnx::TensorProto& tensor, const std::string& key, const std::string& value) {
    for (auto& entry : *tensor.mutable_external_data()) {
      if (entry.key() == key) return entry.set_value(value);
    }
    auto* entry = tensor.add_external_data();
    entry->set_key(key);
    entry->set_value(value);
  }
  onnx::TensorProto& first() { return *model_.mutable_graph()->mutable_initializer(0); }
  ImportedModel read() {
    write_file_atomically(folder_ / "m.onnx", model_.SerializeAsString());
    return read_model(folder_ / "m.onnx");
  }

  const graph::Graph graph_ = small_network();
  const NamedTensors weights_ = model::initialise(graph_, 5);
  onnx::ModelProto model_;
  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("external_onnx_" + std::to_string(::getpid()));
};

TEST_F(ExternalOnnx, WeightsAreReadFromTheFileBeside) { expect_same_weights(read().weights, weights_); }

TEST_F(ExternalOnnx, RefusesWhatDoesNotLieBesideOrWithin) {
  for (const char* location : {"../m.onnx.data", "/etc/passwd", "..", ""}) {
    set(first(), "location", location);
    EXPECT_THAT(bad_input_message([&] { read(); }), HasSubstr("expected the name of a file beside the model"))
        << location;
  }
  set(first(), "location", "other.data");
  EXPECT_THAT(bad_input_message([&] { read(); }), HasSubstr("other.data: cannot open"));
  set(first(), "location", "m.onnx.data");
  set(first(), "offset", "18446744073709551615");
  EXPECT_THAT(bad_input_message([&] { read(); }), HasSubstr("which ends at byte"));
  set(first(), "offset", "-1");
  EXPECT_THAT(bad_input_message([&] { read(); }), HasSubstr("expected a whole number"));
  set(first(), "offset", "0");
  set(first(), "length", "4");
  EXPECT_THAT(bad_input_message([&] { read(); }), HasSubstr("values for shape"));
}

TEST(Interpreter, RangesEndBeforeTheirLimit) {
  const auto range = [](float start, float limit, float delta) {
    return run(Dialect::kOnnx, {"r", "Range", {}, {"r"}, {}}, {{{}, {start}}, {{}, {limit}}, {{}, {delta}}}).values;
  };
  EXPECT_THAT(range(0, 3, 1), ElementsAre(0, 1, 2));
  EXPECT_THAT(range(1, 2, 0.375F), ElementsAre(1, 1.375, 1.75));
  EXPECT_THAT(range(2, 0, -1), ElementsAre(2, 1));
  EXPECT_TRUE(range(2, 0, 1).empty());
  EXPECT_THROW(range(0, 1e9, 1), Error);
  EXPECT_THROW(range(0, 1, 0), Error);
}

TEST(Interpreter, StridedSlicesAndReductions) {
  const Array x{{2, 3}, {0, 1, 2, 3, 4, 5}};
  OpNode slice{"s", "StridedSlice", {}, {"s"}, {{"shrink_axis_mask", int64_t{1}}, {"end_mask", int64_t{2}}}};
  const Computed column = run(Dialect::kTensorFlow, slice, {x, {{2}, {1, 1}}, {{2}, {2, 0}}, {{2}, {1, 1}}});
  EXPECT_THAT(column.shape, ElementsAre(2));
  EXPECT_THAT(column.values, ElementsAre(4, 5));
  const Computed reversed =
      run(Dialect::kOnnx, {"s", "Slice", {}, {"s"}, {}}, {x, {{1}, {-1}}, {{1}, {-9}}, {{1}, {1}}, {{1}, {-1}}});
  EXPECT_THAT(reversed.values, ElementsAre(2, 1, 0, 5, 4, 3));
  const Computed sum = run(Dialect::kOnnx, {"r", "ReduceSum", {}, {"r"}, {{"keepdims", int64_t{0}}}}, {x, {{1}, {-1}}});
  EXPECT_THAT(sum.values, ElementsAre(3, 12));
  const Computed mean =
      run(Dialect::kTensorFlow, {"r", "Mean", {}, {"r"}, {{"keep_dims", int64_t{1}}}}, {x, {{1}, {0}}});
  EXPECT_THAT(mean.shape, ElementsAre(1, 3));
  EXPECT_THAT(mean.values, ElementsAre(1.5, 2.5, 3.5));
}

TEST(Interpreter, MatrixProducts) {
  const OpNode node{"m", "MatMul", {}, {"m"}, {}};
  const Array a{{2, 2, 3}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}};
  const Array b{{3, 2}, {1, 0, 0, 1, 2, 3}};
  const Computed by_rows = run(Dialect::kOnnx, node, {a, b});
  EXPECT_THAT(by_rows.shape, ElementsAre(2, 2, 2));
  EXPECT_THAT(by_rows.values, ElementsAre(4, 7, 13, 19, 22, 31, 31, 43));
  const Array c{{2, 1, 2}, {1, 2, 3, 4}};
  const Computed by_batch = run(Dialect::kOnnx, node, {c, a});
  EXPECT_THAT(by_batch.shape, ElementsAre(2, 1, 3));
  EXPECT_THAT(by_batch.values, ElementsAre(6, 9, 12, 54, 61, 68));
  EXPECT_THROW(run(Dialect::kOnnx, node, {a, a}), Error);
}

TEST(Interpreter, SumsOfProductsByEquation) {
  const auto einsum = [](const std::string& equation, const std::vector<Array>& inputs) {
    return run(Dialect::kOnnx, {"e", "Einsum", {}, {"e"}, {{"equation", equation}}}, inputs);
  };
  const Array maps{{1, 2, 3}, {1, 2, 3, 4, 5, 6}};
  const Array grid{{3, 2}, {1, 0, 0, 1, 2, 3}};
  const Computed product = einsum("bkp, pc -> bkc", {maps, grid});
  EXPECT_THAT(product.shape, ElementsAre(1, 2, 2));
  EXPECT_THAT(product.values, ElementsAre(7, 11, 16, 23));
  EXPECT_THAT(einsum("bkp,p->bk", {maps, {{3}, {0, 1, 2}}}).values, ElementsAre(8, 17));
  EXPECT_THAT(einsum("ij->ji", {grid}).values, ElementsAre(1, 0, 2, 0, 1, 3));
  EXPECT_THAT(einsum("ii->", {{{2, 2}, {1, 2, 3, 4}}}).values, ElementsAre(5));
  EXPECT_THAT(einsum("i,j,k->ikj", {{{1}, {2}}, {{2}, {1, 3}}, {{2}, {5, 7}}}).values, ElementsAre(10, 30, 14, 42));
  for (const char* wrong : {"bkp,pc", "bkp->bk", "bkp,cp->bkc", "bkp,pc->bkx", "bkp,pc->bkk", "...p,pc->...c", ""}) {
    EXPECT_THAT(bad_input_message([&] { einsum(wrong, {maps, grid}); }), HasSubstr("equation")) << wrong;
  }
}

TEST(Interpreter, ChoicesAndSlicesToTheEnd) {
  const Array valid{{2, 1}, {0, 1}};
  const Array maps{{2, 2}, {1, 2, 3, 4}};
  const Computed chosen = run(Dialect::kOnnx, {"w", "Where", {}, {"w"}, {}}, {valid, maps, {{}, {-1}}});
  EXPECT_THAT(chosen.shape, ElementsAre(2, 2));
  EXPECT_THAT(chosen.values, ElementsAre(-1, -1, 3, 4));
  EXPECT_THAT(run(Dialect::kOnnx, {"g", "Greater", {}, {"g"}, {}}, {maps, {{}, {2}}}).values, ElementsAre(0, 0, 1, 1));
  EXPECT_THAT(run(Dialect::kOnnx, {"m", "ReduceMax", {}, {"m"}, {{"axes", std::vector<int64_t>{1}}}}, {maps}).values,
              ElementsAre(2, 4));
  const OpNode filled{"c", "ConstantOfShape", {}, {"c"}, {{"value", 7.0}}};
  EXPECT_THAT(run(Dialect::kOnnx, filled, {{{1}, {3}}}).values, ElementsAre(7, 7, 7));
  const Array largest{{1}, {9.2233720e18F}};
  EXPECT_THAT(run(Dialect::kOnnx, {"s", "Slice", {}, {"s"}, {}}, {{{3}, {1, 2, 3}}, {{1}, {1}}, largest}).values,
              ElementsAre(2, 3));
}

TEST(Interpreter, HostileShapesAreRefused) {
  const Array big{{2}, {1e9, 1e9}};
  const Array one{{}, {1}};
  EXPECT_THROW(run(Dialect::kTensorFlow, {"f", "Fill", {}, {"f"}, {}}, {big, one}), Error);
  EXPECT_THROW(run(Dialect::kTensorFlow, {"t", "Tile", {}, {"t"}, {}}, {{{1}, {1}}, {{1}, {1e12}}}), Error);
  EXPECT_THROW(run(Dialect::kOnnx, {"g", "Gather", {}, {"g"}, {}}, {{{1}, {1}}, {{1}, {3}}}), Error);
}

int64_t peak_memory_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return int64_t{1024} * usage.ru_maxrss;
}

constexpr int64_t kMostMemory = int64_t{64} << 20;

// A kilobyte that asks for 64 values of 4096x4096 in the place of the rendered pose.
TEST(Exporters, MemoryDoesNotFollowTheShapesOfAHostileFile) {
  OpGraph file;
  file.source = "hostile.pb";
  file.inputs = {{"image", {1, 4096, 4096, 3}}, {"pose", {1, 1, 2}}, {"valid", {1, 1}}};
  file.constants.emplace("map", Tensor::from_f32({4}, std::vector<float>{1, 4096, 4096, 1}));
  file.constants.emplace("one", Tensor::from_f32({}, std::vector<float>{1}));
  Tensor axis(DType::kI64, {1});
  axis.mutable_bytes()[0] = std::byte{3};
  file.constants.emplace("axis", std::move(axis));
  file.nodes.push_back({"filled", "Fill", {"map", "one"}, {"filled"}, {}});
  file.nodes.push_back({"sum", "Sum", {"pose"}, {"sum"}, {}});
  file.nodes.push_back({"r0", "Mul", {"filled", "sum"}, {"r0"}, {}});
  for (int i = 1; i < 64; ++i) {
    const std::string before = fmt::format("r{}", i - 1);
    const std::string name = fmt::format("r{}", i);
    file.nodes.push_back({name, "Add", {before, before}, {name}, {}});
  }
  file.nodes.push_back({"coords", "ConcatV2", {"image", "r63", "axis"}, {"coords"}, {}});
  file.outputs = {"coords"};
  file.finish();
  const int64_t before = peak_memory_bytes();
  EXPECT_THAT(bad_input_message([&] { understand(file); }), HasSubstr("'r63' is not"));
  EXPECT_LT(peak_memory_bytes() - before, kMostMemory);
}

// A value list of one number may stand for a whole constant.
TEST(Exporters, MemoryDoesNotFollowRepeatedValues) {
  tf::GraphDef file;
  for (int i = 0; i < 32; ++i) {
    tf::NodeDef& node = *file.add_node();
    node.set_name(fmt::format("c{}", i));
    node.set_op("Const");
    tf::TensorProto& tensor = *(*node.mutable_attr())["value"].mutable_tensor();
    tensor.set_dtype(tf::DT_FLOAT);
    tensor.mutable_tensor_shape()->add_dim()->set_size(1000000);
    tensor.add_float_val(1);
  }
  const std::string bytes = file.SerializeAsString();
  const int64_t before = peak_memory_bytes();
  EXPECT_THAT(bad_input_message([&] { parse_graphdef(bytes, "hostile.pb"); }), HasSubstr("'c1'"));
  EXPECT_LT(peak_memory_bytes() - before, kMostMemory);
}

// Both inputs of every addition are one value: what is needed must not double from one to the next.
TEST(Interpreter, ValuesThatAreSharedAreComputedOnce) {
  OpGraph graph;
  graph.constants.emplace("r0", Tensor::from_f32({1, 2048}, std::vector<float>(2048, 1)));
  for (int i = 1; i <= 40; ++i) {
    const std::string before = fmt::format("r{}", i - 1);
    graph.nodes.push_back({fmt::format("r{}", i), "Add", {before, before}, {fmt::format("r{}", i)}, {}});
  }
  Interpreter interpreter(graph, {});
  const std::vector<int64_t> chosen{7, 0, 2047};
  EXPECT_THAT(interpreter.elements("r40", chosen), ElementsAre(0x1p40, 0x1p40, 0x1p40));
}

TEST(Interpreter, PartsAndTheirOrder) {
  const OpNode concat{"c", "Concat", {}, {"c"}, {{"axis", int64_t{1}}}};
  const Computed joined = run(Dialect::kOnnx, concat, {{{2, 1}, {1, 2}}, {{2, 2}, {3, 4, 5, 6}}});
  EXPECT_THAT(joined.shape, ElementsAre(2, 3));
  EXPECT_THAT(joined.values, ElementsAre(1, 3, 4, 2, 5, 6));
  const OpNode gather{"g", "Gather", {}, {"g"}, {{"axis", int64_t{1}}}};
  const Computed taken = run(Dialect::kOnnx, gather, {{{2, 3}, {0, 1, 2, 3, 4, 5}}, {{2}, {2, -3}}});
  EXPECT_THAT(taken.values, ElementsAre(2, 0, 5, 3));
  const Computed tiled = run(Dialect::kTensorFlow, {"t", "Tile", {}, {"t"}, {}}, {{{1, 2}, {1, 2}}, {{2}, {2, 2}}});
  EXPECT_THAT(tiled.values, ElementsAre(1, 2, 1, 2, 1, 2, 1, 2));
  const Computed soft =
      run(Dialect::kOnnx, {"s", "Softmax", {}, {"s"}, {{"axis", int64_t{0}}}}, {{{2, 2}, {5, 1, 5, 1}}});
  EXPECT_THAT(soft.values, ElementsAre(0.5, 0.5, 0.5, 0.5));
  const OpNode turn{"t", "Transpose", {}, {"t"}, {{"perm", std::vector<int64_t>{1, 0}}}};
  EXPECT_THAT(run(Dialect::kOnnx, turn, {{{2, 2}, {1, 2, 3, 4}}}).values, ElementsAre(1, 3, 2, 4));
}

}  // namespace
}  // namespace posefix::exporters
