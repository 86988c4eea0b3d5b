// The backends agree on real crops, for every backbone, size, and batch from 1 to 9.
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>

#include "compiler/testing/golden_network.h"
#include "pose/golden_test_files.h"

namespace posefix::compiler {
namespace {

constexpr float kTolerancePx = 0.02F;
constexpr int64_t kMaxBatch = 9;

std::unique_ptr<runtime::Session> open(const graph::Graph& graph, const NamedTensors& weights,
                                       const std::string& backend) {
  CompileOptions options;
  options.target = backend;
  return runtime::open_session(compile(graph, weights, {}, options), {.max_batch = kMaxBatch});
}

void expect_agreement(const std::string& backbone, const std::string& width, const NamedTensors& inputs) {
  const Shape& image = inputs.at("image_u8").shape();
  const graph::Graph graph =
      model::build(network_config(backbone, width, image[1], image[2], 0), inputs.at("pose").shape()[1]);
  const NamedTensors weights = formula_weights(graph, 1);
  // A person's result does not depend on the batch, so the slow backend sees each person once.
  const int64_t persons = std::min(kMaxBatch, inputs.at("pose").shape()[0]);
  const Refined expected = run(*open(graph, weights, "reference"), GoldenPersons(inputs, persons));
  const auto cpu = open(graph, weights, "cpu");
  for (int64_t batch = 1; batch <= kMaxBatch; ++batch) {
    SCOPED_TRACE(batch);
    const Refined found = run(*cpu, GoldenPersons(inputs, batch));
    for (size_t i = 0; i < found.coords.size(); ++i) {
      ASSERT_NEAR(found.coords[i], expected.coords[i % expected.coords.size()], kTolerancePx) << "coordinate " << i;
    }
    for (size_t i = 0; i < found.spread.size(); ++i) {
      ASSERT_NEAR(found.spread[i], expected.spread[i % expected.spread.size()], kTolerancePx) << "spread " << i;
    }
  }
}

TEST(BackendsGolden, ReferenceAndCpuAgreeAtEveryBatch) {
  const std::regex pattern("inputs_([0-9]+)x([0-9]+)\\.safetensors");
  int cases = 0;
  for (const auto& path : pose::golden_files(pose::goldens() / "network", ".safetensors")) {
    if (!std::regex_match(path.filename().string(), pattern)) continue;
    const NamedTensors inputs = tensorfile::read_safetensors(path).tensors;
    for (const char* backbone : {"resnet50", "resnet101", "resnet152"}) {
      // 1/16 runs in plain formats (4 channels and more), 1/4 in blocked ones.
      for (const char* width : {"1/16", "1/4"}) {
        SCOPED_TRACE(path.filename().string() + " " + backbone + " " + width);
        expect_agreement(backbone, width, inputs);
        ++cases;
      }
    }
  }
  EXPECT_GT(cases, 0) << "no inputs_HxW.safetensors";
}

// bf16 on the cpu against f32 on the same persons: at most 0.5 px off, 0.1 px on average.
TEST(BackendsGolden, Bf16StaysNearF32) {
  const std::regex pattern("inputs_([0-9]+)x([0-9]+)\\.safetensors");
  double sum = 0;
  double largest = 0;
  int64_t count = 0;
  for (const auto& path : pose::golden_files(pose::goldens() / "network", ".safetensors")) {
    if (!std::regex_match(path.filename().string(), pattern)) continue;
    const NamedTensors inputs = tensorfile::read_safetensors(path).tensors;
    const Shape& image = inputs.at("image_u8").shape();
    if (image[1] < 256) continue;  // sizes that models are trained at
    for (const char* width : {"1/4", "1/16"}) {
      SCOPED_TRACE(path.filename().string() + " " + width);
      const graph::Graph graph = model::build(network_config("resnet50", width, image[1], image[2], 0), 17);
      const NamedTensors weights = formula_weights(graph, 1);
      CompileOptions options;
      const GoldenPersons persons(inputs, image[0]);
      const Refined f32 = run(*runtime::open_session(compile(graph, weights, {}, options), {.max_batch = 2}), persons);
      options.precision = "bf16";
      const Refined bf16 = run(*runtime::open_session(compile(graph, weights, {}, options), {.max_batch = 2}), persons);
      for (size_t i = 0; i < f32.coords.size(); ++i) {
        const double difference = std::fabs(double{f32.coords[i]} - double{bf16.coords[i]});
        sum += difference;
        largest = std::max(largest, difference);
        ++count;
      }
    }
  }
  ASSERT_GT(count, 0);
  EXPECT_LE(largest, 0.5);
  EXPECT_LE(sum / static_cast<double>(count), 0.1);
}

}  // namespace
}  // namespace posefix::compiler
