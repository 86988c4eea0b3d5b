// Every pass by itself on a small graph: what it fuses, what it leaves alone, and that the values stay.
#include "compiler/passes/passes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "base/rng.h"
#include "compiler/compile.h"
#include "compiler/program.h"
#include "runtime/session.h"

namespace posefix::compiler {
namespace {

using graph::Attributes;
using graph::kBatch;
using graph::NodeId;
using graph::Op;

constexpr int64_t kSide = 32;
constexpr int64_t kJoints = 3;
constexpr int64_t kChannels = 16;

// Picture and pose -> convolution and pooling -> x [B,8,8,16] -> the test's nodes -> logits.
class Net {
 public:
  Net() {
    const NodeId image = graph().add_input("image", {DType::kF32, {kBatch, kSide, kSide, 3}});
    const NodeId pose = graph().add_input("pose", {DType::kF32, {kBatch, kJoints, 2}});
    const NodeId valid = graph().add_input("valid", {DType::kF32, {kBatch, kJoints}});
    const NodeId rendered =
        graph().add(Op::kRenderPose, "rendered", {pose, valid}, {.height = kSide, .width = kSide, .sigma = 2});
    const NodeId input = graph().add(Op::kConcat, "input", {image, rendered});
    x = conv("stem", input, 3, kChannels, {.stride = 2, .pads = {1, 1, 1, 1}});
    x = graph().add(Op::kMaxPool, "pool", {x}, {.stride = 2, .kernel = 2});
  }

  graph::Graph& graph() { return module.graph; }
  NodeId weight(const std::string& name, const Shape& shape, double low = -0.5, double high = 0.5) {
    Tensor tensor(DType::kF32, shape);
    for (float& value : tensor.mutable_f32()) value = static_cast<float>(rng_.uniform(low, high));
    module.weights[name] = std::move(tensor);
    return graph().add_weight(name, shape);
  }
  NodeId conv(const std::string& name, NodeId from, int64_t kernel, int64_t out, const Attributes& attrs = {}) {
    const int64_t in = graph().node(from).type.shape[3];
    const double bound = std::sqrt(3.0 / static_cast<double>(kernel * kernel * in));
    return graph().add(Op::kConv2d, name, {from, weight(name + "/w", {kernel, kernel, in, out}, -bound, bound)}, attrs);
  }
  NodeId deconv(const std::string& name, NodeId from) {
    return graph().add(Op::kConvTranspose2d, name, {from, weight(name + "/w", {4, 4, kChannels, kChannels}, -0.2, 0.2)},
                       {.stride = 2});
  }
  NodeId norm(const std::string& name, NodeId from) {
    return graph().add(Op::kBatchNorm, name,
                       {from, weight(name + "/g", {kChannels}, 0.5, 1.5), weight(name + "/b", {kChannels}),
                        weight(name + "/m", {kChannels}), weight(name + "/v", {kChannels}, 0.5, 1.5)},
                       {.epsilon = 1e-3});
  }
  NodeId relu(const std::string& name, NodeId from) { return graph().add(Op::kRelu, name, {from}); }
  NodeId pad(const std::string& name, NodeId from) {
    return graph().add(Op::kPad, name, {from}, {.pads = {1, 1, 1, 1}});
  }

  // `value` is what the tests compare.
  Module& finish(NodeId value) {
    const NodeId logits = conv("logits", value, 1, kJoints);
    const NodeId coords = graph().add(Op::kSoftArgmax, "heatmap", {logits});
    graph().add_output("coords", graph().add(Op::kScale, "coords", {coords}, {.factor = 4}));
    graph().add_output("value", value);
    graph().verify();
    return module;
  }

  Module module;
  NodeId x = -1;

 private:
  Rng rng_{11, 0, 0};
};

struct Result {
  std::vector<float> coords, value;
};

Result run(Program program, const std::string& backend) {
  program.plan.metadata.target = backend;
  if (program.plan.metadata.precision.empty()) program.plan.metadata.precision = "f32";
  plan_memory(program.plan);
  const auto session = runtime::open_session(pack(std::move(program)), {.max_batch = 2, .threads = 1});
  Rng rng(5, 0, 0);
  std::vector<uint8_t> crops;
  std::vector<float> pose;
  for (int64_t i = 0; i < 2 * kSide * kSide * 3; ++i) crops.push_back(static_cast<uint8_t>(rng.below(256)));
  for (int64_t i = 0; i < 2 * kJoints * 2; ++i) pose.push_back(static_cast<float>(rng.uniform(-4, kSide + 4)));
  const std::vector<float> valid{1, 0, 1, 1, 1, 1};
  Result result;
  result.coords.resize(pose.size());
  session->run({2, crops, pose, valid}, {result.coords, {}});
  result.value = session->kept("value");
  return result;
}

void expect_same(const Result& found, const Result& expected, double relative) {
  ASSERT_EQ(found.value.size(), expected.value.size());
  float largest = 0;
  for (const float value : expected.value) largest = std::max(largest, std::fabs(value));
  for (size_t i = 0; i < found.value.size(); ++i) {
    ASSERT_NEAR(found.value[i], expected.value[i], relative * largest) << i;
  }
}

// The pass's graph; its values are those of the graph before, by the plain loops of the reference backend.
graph::Graph after(Module (*pass)(const Module&), const Module& before) {
  const Module done = pass(before);
  done.graph.verify();
  expect_same(run(lower(done), "reference"), run(lower(before), "reference"), 2e-6);
  return done.graph;
}

bool has(const graph::Graph& graph, const std::string& name) { return graph.find_or_none(name) >= 0; }
const graph::Node& node(const graph::Graph& graph, const std::string& name) { return graph.node(graph.find(name)); }

TEST(FoldPadding, IntoConvolutionAndIntoPoolingThatSeesNothingNegative) {
  Net net;
  NodeId x = net.conv("conv", net.pad("pad1", net.x), 3, kChannels);
  x = net.pad("pad2", net.relu("relu", x));
  x = net.graph().add(Op::kMaxPool, "pool2", {x}, {.stride = 1, .kernel = 3});
  const NodeId negative = net.pad("pad3", net.conv("conv2", x, 1, kChannels));
  x = net.graph().add(Op::kMaxPool, "pool3", {negative}, {.stride = 1, .kernel = 3});
  const graph::Graph graph = after(&fold_padding, net.finish(x));
  const std::array<int64_t, 4> ones{1, 1, 1, 1};
  EXPECT_FALSE(has(graph, "pad1"));
  EXPECT_EQ(node(graph, "conv").attrs.pads, ones);
  EXPECT_FALSE(has(graph, "pad2"));
  EXPECT_EQ(node(graph, "pool2").attrs.pads, ones);
  EXPECT_TRUE(has(graph, "pad3")) << "zeros win over negative values";
}

TEST(FuseBias, IntoTheConvolutionThatNobodyElseReads) {
  Net net;
  NodeId x =
      net.graph().add(Op::kBiasAdd, "bias1", {net.conv("conv1", net.x, 1, kChannels), net.weight("b1", {kChannels})});
  x = net.graph().add(Op::kBiasAdd, "bias2", {net.deconv("up", x), net.weight("b2", {kChannels})});
  const NodeId shared = net.conv("shared", x, 1, kChannels);
  const NodeId biased = net.graph().add(Op::kBiasAdd, "bias3", {shared, net.weight("b3", {kChannels})});
  const graph::Graph graph = after(&fuse_bias, net.finish(net.graph().add(Op::kAdd, "sum", {shared, biased})));
  EXPECT_FALSE(has(graph, "conv1"));
  EXPECT_TRUE(node(graph, "bias1").attrs.has_bias);
  EXPECT_EQ(node(graph, "bias2").op, Op::kConvTranspose2d);
  EXPECT_EQ(node(graph, "bias3").op, Op::kBiasAdd);
}

TEST(FoldBatchNorm, IntoConvolutionsAloneAndNotThroughARelu) {
  Net net;
  NodeId x = net.norm("norm1", net.conv("conv1", net.x, 3, kChannels, {.pads = {1, 1, 1, 1}}));
  x = net.norm("norm2", net.deconv("up", x));
  x = net.norm("norm3", net.relu("relu", x));
  const NodeId shared = net.conv("shared", x, 1, kChannels);
  x = net.graph().add(Op::kAdd, "sum", {net.norm("norm4", shared), shared});
  const graph::Graph graph = after(&fold_batch_norm, net.finish(x));
  EXPECT_EQ(node(graph, "norm1").op, Op::kConv2d);
  EXPECT_EQ(node(graph, "norm2").op, Op::kConvTranspose2d);
  EXPECT_EQ(node(graph, "norm3").op, Op::kBatchNorm);
  EXPECT_EQ(node(graph, "norm4").op, Op::kBatchNorm) << "the convolution's own value is read as well";
}

TEST(FuseResidual, IntoTheLaterConvolution) {
  Net net;
  const NodeId shortcut = net.conv("shortcut", net.x, 1, kChannels);
  NodeId x = net.graph().add(Op::kAdd, "sum1", {net.conv("conv1", net.x, 1, kChannels), shortcut});
  x = net.graph().add(Op::kAdd, "sum2", {net.relu("relu1", x), net.relu("relu2", net.x)});
  const graph::Graph graph = after(&fuse_residual, net.finish(x));
  EXPECT_EQ(node(graph, "sum1").op, Op::kConv2d);
  EXPECT_TRUE(node(graph, "sum1").attrs.has_residual);
  EXPECT_TRUE(has(graph, "shortcut"));
  EXPECT_EQ(node(graph, "sum2").op, Op::kAdd) << "no convolution's";
}

TEST(FuseRelu, IntoTheConvolutionThatNobodyElseReads) {
  Net net;
  NodeId x = net.relu("relu1", net.conv("conv1", net.x, 1, kChannels));
  x = net.relu("relu2", net.deconv("up", x));
  const NodeId shared = net.conv("shared", x, 1, kChannels);
  x = net.graph().add(Op::kAdd, "sum", {shared, net.relu("relu3", shared)});
  const graph::Graph graph = after(&fuse_relu, net.finish(x));
  EXPECT_TRUE(node(graph, "relu1").attrs.relu);
  EXPECT_EQ(node(graph, "relu2").op, Op::kConvTranspose2d);
  EXPECT_EQ(node(graph, "relu3").op, Op::kRelu);
}

std::vector<plan::Op> ops_of(const Program& program) {
  std::vector<plan::Op> ops;
  for (const plan::Step& step : program.plan.steps) ops.push_back(step.op);
  return ops;
}

TEST(FusePoseStem, SplitsTheFirstConvolutionIntoPictureAndPose) {
  Net net;
  const Module& module = net.finish(net.x);
  Program program = lower(module);
  EXPECT_THAT(ops_of(program), testing::Contains(plan::Op::kAssembleInput));
  fuse_pose_stem(program);
  EXPECT_THAT(ops_of(program),
              testing::AllOf(testing::Contains(plan::Op::kPoseStem), testing::Contains(plan::Op::kNormaliseImage),
                             testing::Not(testing::Contains(plan::Op::kAssembleInput))));
  expect_same(run(std::move(program), "reference"), run(lower(module), "reference"), 2e-6);
}

TEST(AssignBf16, MapsAndFiltersButNotTheLogits) {
  Net net;
  const Module& module = net.finish(net.relu("relu", net.conv("conv", net.x, 3, kChannels, {.pads = {1, 1, 1, 1}})));
  Program program = lower(fuse_relu(module));
  program.plan.metadata.precision = "bf16";
  assign_bf16(program);
  for (const plan::Step& step : program.plan.steps) {
    if (step.output < 0) continue;
    const plan::TensorInfo& result = program.plan.tensors[static_cast<size_t>(step.output)];
    EXPECT_EQ(result.dtype, result.channels == kJoints ? DType::kF32 : DType::kBF16) << result.name;
    if (step.op == plan::Op::kConv2d) {
      EXPECT_EQ(program.plan.weight_infos[static_cast<size_t>(step.weights[0])].dtype, DType::kBF16) << step.name;
    }
  }
  expect_same(run(std::move(program), "cpu"), run(lower(module), "reference"), 0.02);
}

TEST(PlanMemory, ValuesThatLiveAtTheSameTimeLieApart) {
  Net net;
  const NodeId shortcut = net.conv("shortcut", net.x, 1, kChannels);
  NodeId x = net.conv("conv1", net.x, 3, kChannels, {.pads = {1, 1, 1, 1}});
  x = net.graph().add(Op::kAdd, "sum", {net.conv("conv2", x, 1, kChannels), shortcut});
  Program program = lower(fuse_residual(net.finish(x)));
  plan_memory(program.plan);
  const plan::Plan& plan = program.plan;
  std::vector<size_t> born(plan.tensors.size(), 0);
  std::vector<size_t> dies(plan.tensors.size(), 0);
  for (size_t s = 0; s < plan.steps.size(); ++s) {
    if (plan.steps[s].output >= 0) born[static_cast<size_t>(plan.steps[s].output)] = s;
    for (const int32_t id : plan.steps[s].inputs) dies[static_cast<size_t>(id)] = s;
  }
  for (const plan::KeptTensor& kept : plan.kept) dies[static_cast<size_t>(kept.tensor)] = plan.steps.size();
  uint64_t all = 0;
  for (size_t a = 0; a < plan.tensors.size(); ++a) {
    const plan::TensorInfo& first = plan.tensors[a];
    all += first.bytes;
    EXPECT_LE(first.offset + first.bytes, plan.arena_bytes);
    for (size_t b = 0; b < a; ++b) {
      const plan::TensorInfo& second = plan.tensors[b];
      const bool live_together = born[a] < dies[b] && born[b] < dies[a];  // a result may take a dying input's place
      const bool overlap = first.offset < second.offset + second.bytes && second.offset < first.offset + first.bytes;
      EXPECT_FALSE(live_together && overlap) << first.name << " and " << second.name;
    }
  }
  EXPECT_LT(plan.arena_bytes, all);
}

TEST(DumpPasses, OneFileForEveryPass) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("dump_passes_" + std::to_string(::getpid()));
  Net net;
  const Module& module = net.finish(net.x);
  CompileOptions options;
  options.precision = "bf16";
  options.dump_passes = folder;
  NamedTensors weights;
  for (const auto& [name, weight] : module.weights) weights.emplace(name, weight.values());
  compile(module.graph, std::move(weights), {}, options);
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::filesystem::remove_all(folder);
  EXPECT_THAT(names, testing::UnorderedElementsAre("00_graph.txt", "01_fold_padding.txt", "02_fuse_bias.txt",
                                                   "03_fold_batch_norm.txt", "04_fuse_residual.txt", "05_fuse_relu.txt",
                                                   "06_fuse_pose_stem.txt", "07_assign_bf16.txt", "08_plan.txt"));
}

}  // namespace
}  // namespace posefix::compiler
