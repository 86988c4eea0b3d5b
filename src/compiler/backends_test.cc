// Both backends on a graph with every op, fused and not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"
#include "compiler/compile.h"
#include "compiler/passes/passes.h"
#include "runtime/session.h"

namespace posefix::compiler {
namespace {

using graph::Graph;
using graph::kBatch;
using graph::NodeId;
using graph::Op;
using testing::HasSubstr;

constexpr int64_t kHeight = 64;
constexpr int64_t kWidth = 32;
constexpr int64_t kJoints = 5;

struct Fixture {
  Graph graph;
  NamedTensors weights;
  Rng rng{7, 0, 0};

  NodeId weight(const std::string& name, const Shape& shape, double low, double high) {
    Tensor tensor(DType::kF32, shape);
    for (float& value : tensor.mutable_f32()) value = static_cast<float>(rng.uniform(low, high));
    weights[name] = std::move(tensor);
    return graph.add_weight(name, shape);
  }
  NodeId conv(const std::string& name, NodeId x, int64_t kernel, int64_t out, const graph::Attributes& attrs) {
    const int64_t in = graph.node(x).type.shape[3];
    const double bound = std::sqrt(3.0 / static_cast<double>(kernel * kernel * in));
    return graph.add(Op::kConv2d, name, {x, weight(name + "/w", {kernel, kernel, in, out}, -bound, bound)}, attrs);
  }
  NodeId norm(const std::string& name, NodeId x) {
    const Shape c{graph.node(x).type.shape[3]};
    return graph.add(Op::kBatchNorm, name,
                     {x, weight(name + "/g", c, 0.5, 1.5), weight(name + "/b", c, -0.5, 0.5),
                      weight(name + "/m", c, -0.5, 0.5), weight(name + "/v", c, 0.5, 1.5)},
                     {.epsilon = 1e-3});
  }
  NodeId deconv(const std::string& name, NodeId x, int64_t kernel, int64_t out) {
    const int64_t in = graph.node(x).type.shape[3];
    const double bound = std::sqrt(6.0 / static_cast<double>(kernel * kernel * in));
    return graph.add(Op::kConvTranspose2d, name, {x, weight(name + "/w", {kernel, kernel, out, in}, -bound, bound)},
                     {.stride = 2});
  }

  // Every op; with `c` channels in the middle. Some fusions are possible, some are not: "split" has two readers.
  explicit Fixture(int64_t c) {
    const NodeId image = graph.add_input("image", {DType::kF32, {kBatch, kHeight, kWidth, 3}});
    const NodeId pose = graph.add_input("pose", {DType::kF32, {kBatch, kJoints, 2}});
    const NodeId valid = graph.add_input("valid", {DType::kF32, {kBatch, kJoints}});
    const NodeId rendered =
        graph.add(Op::kRenderPose, "rendered", {pose, valid}, {.height = kHeight, .width = kWidth, .sigma = 3});
    NodeId x = graph.add(Op::kConcat, "input", {image, rendered});
    x = graph.add(Op::kPad, "pad1", {x}, {.pads = {2, 3, 2, 3}});
    x = graph.add(Op::kRelu, "relu1", {norm("norm1", conv("conv1", x, 7, c, {.stride = 2}))});
    x = graph.add(Op::kPad, "pad2", {x}, {.pads = {1, 1, 1, 1}});
    x = graph.add(Op::kMaxPool, "pool", {x}, {.stride = 2, .kernel = 3});
    const NodeId split = norm("split", conv("conv2", x, 1, c, {}));
    const NodeId a = graph.add(Op::kRelu, "a", {conv("conv3", split, 3, c, {.pads = {1, 1, 1, 1}})});
    const NodeId b = graph.add(Op::kPad, "b", {split}, {.pads = {0, 0, 0, 0}});
    x = graph.add(Op::kAdd, "sum", {conv("conv4", a, 1, c, {}), b});
    x = graph.add(Op::kConcat, "joined", {x, split});
    x = norm("norm2", graph.add(Op::kRelu, "relu2", {x}));
    x = graph.add(Op::kAdd, "twice", {x, x});
    x = graph.add(Op::kPad, "pad3", {x}, {.pads = {1, 1, 0, 0}});
    x = graph.add(Op::kMaxPool, "pool3", {x},
                  {
                      .stride = 1,
                      .kernel = 3,
                  });
    x = graph.add(Op::kPad, "pad4", {x}, {.pads = {0, 0, 1, 1}});
    x = conv("conv5", x, 3, c, {.stride = 2, .pads = {1, 0, 1, 0}});
    x = graph.add(Op::kRelu, "up1", {deconv("deconv1", x, 4, c)});
    x = graph.add(Op::kRelu, "up2", {deconv("deconv2", x, 3, c)});
    x = graph.add(Op::kRelu, "up3", {norm("norm3", deconv("deconv3", x, 4, c))});
    const NodeId logits =
        graph.add(Op::kBiasAdd, "logits", {conv("out", x, 1, kJoints, {}), weight("out/b", {kJoints}, -1, 1)});
    const NodeId coords = graph.add(Op::kSoftArgmax, "heatmap_coords", {logits});
    const NodeId spread = graph.add(Op::kHeatmapSpread, "heatmap_spread", {logits});
    graph.add_output("coords", graph.add(Op::kScale, "coords", {coords}, {.factor = 4}));
    graph.add_output("spread", graph.add(Op::kScale, "spread", {spread}, {.factor = 4}));
    graph.verify();
  }
};

struct Persons {
  std::vector<uint8_t> crops;
  std::vector<float> pose, valid, coords, spread;
  int64_t size;
  explicit Persons(int64_t count) : size(count) {
    Rng rng(3, 0, 0);
    for (int64_t i = 0; i < count * kHeight * kWidth * 3; ++i) crops.push_back(static_cast<uint8_t>(rng.below(256)));
    for (int64_t i = 0; i < count * kJoints; ++i) {
      pose.push_back(static_cast<float>(rng.uniform(-20, 50)));
      pose.push_back(static_cast<float>(rng.uniform(-20, 80)));
      valid.push_back(rng.below(4) == 0 ? 0.0F : 1.0F);
    }
    coords.resize(pose.size());
    spread.resize(valid.size());
  }
  void run(runtime::Session& session) { session.run({size, crops, pose, valid}, {coords, spread}); }
};

void expect_near(const std::vector<float>& found, const std::vector<float>& expected, double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], expected[i], tolerance) << i;
}

class BothBackends : public testing::TestWithParam<int64_t> {};

TEST_P(BothBackends, AgreeOnEveryOp) {
  const Fixture fixture(GetParam());
  CompileOptions options;
  options.keep = {{"up2", "up2"}, {"joined", "joined"}, {"logits", "logits"}, {"relu1", "relu1"}};
  options.target = "reference";
  const auto reference_plan = compile(fixture.graph, fixture.weights, {}, options);
  const auto reference = runtime::open_session(reference_plan, {.max_batch = 3, .threads = 2});
  // The assembled input of a plan for the reference backend means the same on the cpu.
  const auto reference_plan_on_cpu = runtime::open_session(reference_plan, {.backend = "cpu", .max_batch = 3});
  options.target = "cpu";
  const auto cpu =
      runtime::open_session(compile(fixture.graph, fixture.weights, {}, options), {.max_batch = 3, .threads = 2});
  // A plan for the cpu (with the pose apart from the picture) means the same on the reference backend.
  const auto cpu_plan_on_reference = runtime::open_session(compile(fixture.graph, fixture.weights, {}, options),
                                                           {.backend = "reference", .max_batch = 3});
  for (const int64_t batch : {3, 1, 2}) {
    Persons expected(batch);
    expected.run(*reference);
    for (runtime::Session* session : {cpu.get(), cpu_plan_on_reference.get(), reference_plan_on_cpu.get()}) {
      Persons found(batch);
      found.run(*session);
      for (const char* name : {"relu1", "joined", "up2", "logits"}) {
        SCOPED_TRACE(name);
        const std::vector<float> values = reference->kept(name);
        float largest = 0;
        for (const float value : values) largest = std::max(largest, std::fabs(value));
        expect_near(session->kept(name), values, 2e-5 * largest);
      }
      expect_near(found.coords, expected.coords, 5e-3);
      expect_near(found.spread, expected.spread, 5e-3);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Channels, BothBackends, testing::Values(int64_t{6}, int64_t{32}, int64_t{64}));

TEST_P(BothBackends, Bf16FollowsF32) {
  const Fixture fixture(GetParam());
  CompileOptions options;
  options.keep = {{"relu1", "relu1"}, {"up2", "up2"}};
  const auto f32 = runtime::open_session(compile(fixture.graph, fixture.weights, {}, options), {.max_batch = 2});
  options.precision = "bf16";
  const auto bf16 = runtime::open_session(compile(fixture.graph, fixture.weights, {}, options), {.max_batch = 2});
  Persons expected(2);
  Persons found(2);
  expected.run(*f32);
  found.run(*bf16);
  for (const char* name : {"relu1", "up2"}) {
    SCOPED_TRACE(name);
    const std::vector<float> values = f32->kept(name);
    float largest = 0;
    for (const float value : values) largest = std::max(largest, std::fabs(value));
    expect_near(bf16->kept(name), values, 0.02 * largest);
  }
}

TEST(Session, RefusesBatchesThatDoNotFit) {
  const Fixture fixture(16);
  for (const char* target : {"reference", "cpu"}) {
    CompileOptions options;
    options.target = target;
    const auto session = runtime::open_session(compile(fixture.graph, fixture.weights, {}, options), {.max_batch = 2});
    Persons three(3);
    EXPECT_THROW(three.run(*session), Error);
    Persons two(2);
    two.valid.pop_back();
    EXPECT_THROW(two.run(*session), Error);
    EXPECT_THROW(session->kept("logits"), Error);
    EXPECT_EQ(session->info().joints, kJoints);
    EXPECT_EQ(session->info().backend, target);
  }
}

TEST(Session, ResultsDoNotDependOnTheNumberOfThreads) {
  const Fixture fixture(16);
  for (const char* target : {"reference", "cpu"}) {
    CompileOptions options;
    options.target = target;
    const auto plan = compile(fixture.graph, fixture.weights, {}, options);
    Persons one(2);
    Persons two(2);
    one.run(*runtime::open_session(plan, {.max_batch = 2, .threads = 1}));
    two.run(*runtime::open_session(plan, {.max_batch = 2, .threads = 2}));
    EXPECT_EQ(one.coords, two.coords) << target;
  }
}

TEST(Compile, NamesWhatIsAvailable) {
  const Fixture fixture(16);
  CompileOptions options;
  options.target = "tpu";
  EXPECT_THAT([&] { compile(fixture.graph, fixture.weights, {}, options); },
              testing::ThrowsMessage<Error>(HasSubstr("cpu")));
  options.target = "cpu";
  options.keep = {{"x", "no_such_node"}};
  EXPECT_THAT([&] { compile(fixture.graph, fixture.weights, {}, options); },
              testing::ThrowsMessage<Error>(HasSubstr("no_such_node")));
}

TEST(Passes, EachKeepsTheGraphValidAndShrinksIt) {
  const Fixture fixture(16);
  Module module{fixture.graph, {fixture.weights.begin(), fixture.weights.end()}};
  for (const GraphPass& pass : graph_passes()) {
    SCOPED_TRACE(std::string(pass.name));
    Module after = pass.run(module);
    EXPECT_NO_THROW(after.graph.verify());
    EXPECT_LT(after.graph.nodes().size(), module.graph.nodes().size());
    module = std::move(after);
  }
  EXPECT_EQ(module.graph.find_or_none("pad1"), -1) << "folded into conv1";
  EXPECT_EQ(module.graph.find_or_none("norm1"), -1) << "folded into conv1";
  EXPECT_TRUE(module.graph.node(module.graph.find("relu1")).attrs.relu);
  EXPECT_EQ(module.graph.node(module.graph.find("pool")).attrs.pads[0], 1);
  EXPECT_TRUE(module.graph.node(module.graph.find("sum")).attrs.has_residual);
  EXPECT_NE(module.graph.find_or_none("norm2"), -1) << "follows a ReLU: stays";
  EXPECT_NE(module.graph.find_or_none("pad3"), -1) << "pads values that may be negative: stays";
}

}  // namespace
}  // namespace posefix::compiler
