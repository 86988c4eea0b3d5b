// Writes small models for the fuzzers to start from: seeds FOLDER makes FOLDER/graphdef/tiny.pb and the like.
#include <cstdio>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "compiler/compile.h"
#include "exporters/graphdef_write.h"
#include "exporters/onnx_write.h"
#include "graph/graph.h"
#include "plan/plan_file.h"

namespace {

using posefix::graph::Graph;
using posefix::graph::kBatch;
using posefix::graph::NodeId;
using posefix::graph::Op;

// Every operator of a pose network once, on a picture of 16x16 with one joint.
Graph tiny_network() {
  using posefix::DType;
  Graph g;
  const NodeId image = g.add_input("image", {DType::kF32, {kBatch, 16, 16, 3}});
  const NodeId pose = g.add_input("pose", {DType::kF32, {kBatch, 1, 2}});
  const NodeId valid = g.add_input("valid", {DType::kF32, {kBatch, 1}});
  const NodeId map = g.add(Op::kRenderPose, "input_heatmap", {pose, valid}, {.height = 16, .width = 16, .sigma = 2});
  NodeId x = g.add(Op::kConcat, "image_and_pose", {image, map});
  x = g.add(Op::kPad, "a/Pad", {x}, {.pads = {1, 1, 1, 1}});
  x = g.add(Op::kConv2d, "a/Conv2D", {x, g.add_weight("a/weights", {3, 3, 4, 2})}, {.stride = 2});
  std::vector<NodeId> norm{x};
  for (const char* name : {"gamma", "beta", "moving_mean", "moving_variance"}) {
    norm.push_back(g.add_weight(std::string("a/BatchNorm/") + name, {2}));
  }
  x = g.add(Op::kBatchNorm, "a/BatchNorm", norm, {.epsilon = 1e-3});
  x = g.add(Op::kRelu, "a/Relu", {x});
  x = g.add(Op::kAdd, "a/add", {x, x});
  x = g.add(Op::kPad, "pool/Pad", {x}, {.pads = {1, 1, 1, 1}});
  x = g.add(Op::kMaxPool, "pool", {x}, {.stride = 4, .kernel = 3});
  x = g.add(Op::kConvTranspose2d, "up1/conv2d_transpose", {x, g.add_weight("up1/weights", {4, 4, 2, 2})},
            {.stride = 2});
  x = g.add(Op::kConv2d, "out/Conv2D", {x, g.add_weight("out/weights", {1, 1, 2, 1})});
  x = g.add(Op::kBiasAdd, "logits", {x, g.add_weight("out/biases", {1})});
  const NodeId coords = g.add(Op::kSoftArgmax, "coords_heatmap_px", {x});
  const NodeId spread = g.add(Op::kHeatmapSpread, "spread_heatmap_px", {x});
  g.add_output("coords", g.add(Op::kScale, "coords", {coords}, {.factor = 4}));
  g.add_output("spread", g.add(Op::kScale, "spread", {spread}, {.factor = 4}));
  g.add_output("logits", x);
  return g;
}

// Two persons on pictures of noise.
posefix::compiler::Persons persons() {
  posefix::compiler::Persons result;
  result.size = 2;
  for (uint32_t i = 0; i < 2 * 16 * 16 * 3; ++i) result.crops.push_back(static_cast<uint8_t>(i * 2654435761U >> 24));
  result.pose = {4, 5, 9, 11};
  result.valid = {1, 1};
  return result;
}

// One for every precision that a plan can have: their tensors, weights and steps differ.
void write_plans(const std::filesystem::path& folder, const Graph& graph, const posefix::NamedTensors& weights) {
  posefix::compiler::Int8Request int8;
  int8.calibration = persons();
  int8.held_out = persons();
  int8.max_drop = 1e6;
  for (const char* precision : {"f32", "bf16", "int8"}) {
    const auto plan = posefix::compiler::compile(graph, weights, {}, {.precision = precision, .int8 = &int8});
    posefix::plan::write_plan(folder / (std::string("tiny_") + precision + ".plan"), *plan);
  }
  using posefix::plan::Method;
  posefix::plan::Plan tuned = *posefix::compiler::compile(graph, weights, {}, {});
  tuned.metadata.cpu_features = "a CPU";
  tuned.tunings = {{1, 1, {}}, {8, 2, {}}};
  for (size_t i = 0; i < tuned.steps.size(); ++i) {
    const auto step = static_cast<int32_t>(i);
    const posefix::plan::Op op = tuned.steps[i].op;
    if (op == posefix::plan::Op::kConv2d) tuned.tunings[1].choices.push_back({step, {Method::kOneDnn}});
    if (op == posefix::plan::Op::kConvTranspose2d) {
      tuned.tunings[1].choices.push_back({step, {Method::kOwnWinograd, 4, 3}});
    }
  }
  posefix::plan::write_plan(folder / "tiny_tuned.plan", tuned);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  try {
    const std::filesystem::path folder = argv[1];
    for (const char* name : {"graphdef", "onnx", "plan"}) std::filesystem::create_directories(folder / name);
    const Graph graph = tiny_network();
    posefix::NamedTensors weights;
    for (const NodeId id : graph.all(Op::kWeight)) {
      posefix::Tensor tensor(posefix::DType::kF32, graph.node(id).type.shape);
      for (float& value : tensor.mutable_f32()) value = 0.5F;
      weights.emplace(graph.node(id).name, std::move(tensor));
    }
    using posefix::write_file_atomically;
    write_file_atomically(folder / "graphdef" / "tiny.pb", posefix::exporters::encode_graphdef(graph, weights));
    write_file_atomically(folder / "onnx" / "tiny.onnx", posefix::exporters::encode_onnx(graph, weights));
    posefix::exporters::OnnxOptions flip;
    flip.flip = true;
    flip.mirror = {0};
    write_file_atomically(folder / "onnx" / "tiny_flip.onnx", posefix::exporters::encode_onnx(graph, weights, flip));
    write_plans(folder / "plan", graph, weights);
  } catch (const posefix::Error& error) {
    std::fprintf(stderr, "seeds: %s\n", error.what());
    return 1;
  }
  return 0;
}
