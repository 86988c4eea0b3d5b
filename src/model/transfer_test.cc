#include "model/transfer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/testing/bad_input_message.h"
#include "model/posefix_net.h"

namespace posefix::model {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

graph::Graph small_network(int64_t joints) {
  ModelConfig config;
  config.width = "1/16";
  config.input_size = {64, 32};
  return build(config, joints);
}

std::string refusal(const graph::Graph& graph, const TransferSource& source) {
  return bad_input_message([&] { transfer(graph, initialise(graph, 1), {}, source, false); });
}

TEST(Transfer, MissingSurplusAndWrongShapesStandInOneTable) {
  const graph::Graph graph = small_network(3);
  TransferSource source{initialise(graph, 2), "file", {}};
  source.tensors.erase("up1/weights");
  source.tensors.emplace("stray", Tensor(DType::kF32, {2}));
  source.tensors["out/biases"] = Tensor(DType::kF32, {4});
  const std::string message = refusal(graph, source);
  EXPECT_THAT(message, HasSubstr("missing      up1/weights"));
  EXPECT_THAT(message, HasSubstr("surplus      stray"));
  EXPECT_THAT(message, HasSubstr("wrong shape  out/biases"));
}

TEST(Transfer, ARefusalSaysWhatTheNamesTell) {
  const graph::Graph graph = small_network(3);
  const TransferSource whole{initialise(graph, 2), "file", {}};
  EXPECT_THAT(refusal(graph, {{{"stray", Tensor(DType::kF32, {2})}}, "file", {}}), Not(HasSubstr("model.backbone")));
  TransferSource other{{}, "file", {}};
  TransferSource folded{{}, "file", {}};
  for (const auto& [name, tensor] : whole.tensors) {
    const std::string trunk = "resnet_v1_50";
    if (name.starts_with(trunk)) other.tensors.emplace("resnet_v1_101" + name.substr(trunk.size()), tensor);
    if (name.find("/BatchNorm/") == std::string::npos) folded.tensors.emplace(name, tensor);
  }
  EXPECT_THAT(refusal(graph, other),
              HasSubstr("its layers begin with resnet_v1_101, the network's with resnet_v1_50: set model.backbone"));
  EXPECT_THAT(bad_input_message([&] { transfer(graph, initialise(graph, 1), {}, other, true); }),
              HasSubstr("file: nothing in it fits the network; its layers begin with resnet_v1_101"));
  EXPECT_THAT(refusal(graph, folded), HasSubstr("batch norm was folded"));
}

TEST(Transfer, JointsOfTheSameNameAreTakenWhenAsked) {
  const std::vector<std::string> from{"nose", "hip", "knee"};
  const std::vector<std::string> to{"knee", "nose"};
  const TransferSource source{initialise(small_network(3), 2), "file", from};
  const graph::Graph graph = small_network(2);
  EXPECT_THAT(refusal(graph, source), HasSubstr("--partial"));
  const Transfer result = transfer(graph, initialise(graph, 1), to, source, true);
  const std::span<const float> mine = result.variables.at("out/weights").f32();  // [1,1,C,2]
  const std::span<const float> theirs = source.tensors.at("out/weights").f32();  // [1,1,C,3]
  for (size_t c = 0; c < mine.size() / 2; ++c) {
    EXPECT_EQ(mine[2 * c], theirs[3 * c + 2]);
    EXPECT_EQ(mine[2 * c + 1], theirs[3 * c]);
  }
}

TEST(Transfer, AdamsStateComesAlongWithItsStep) {
  const graph::Graph graph = small_network(2);
  TransferSource source{initialise(graph, 2), "file", {}};
  for (const auto& [name, tensor] : initialise(graph, 5)) {
    if (name.find("/moving_") != std::string::npos) continue;
    source.tensors.emplace(name + "/Adam", tensor);
    source.tensors.emplace(name + "/Adam_1", tensor);
  }
  float power = 0.999F;  // as TensorFlow multiplies it up
  for (int step = 0; step < 1234; ++step) power *= 0.999F;
  source.tensors.emplace("beta2_power", Tensor::from_f32({}, std::vector<float>{power}));
  const Transfer result = transfer(graph, initialise(graph, 1), {}, source, false);
  EXPECT_EQ(result.step, 1234);
  EXPECT_TRUE(result.step_known);
  EXPECT_TRUE(result.state.contains("optimizer/m/out/weights"));
  EXPECT_TRUE(result.state.contains("optimizer/v/up3/BatchNorm/gamma"));
  // After that many steps float32 has nothing left of the power.
  source.tensors["beta2_power"] = Tensor::from_f32({}, std::vector<float>{1e-42F});
  const Transfer long_run = transfer(graph, initialise(graph, 1), {}, source, false);
  EXPECT_EQ(long_run.step, kMostCountedSteps);
  EXPECT_FALSE(long_run.step_known);
  EXPECT_FALSE(long_run.state.empty());
  source.tensors.erase("out/weights/Adam");
  EXPECT_TRUE(transfer(graph, initialise(graph, 1), {}, source, false).state.empty());
}

}  // namespace
}  // namespace posefix::model
