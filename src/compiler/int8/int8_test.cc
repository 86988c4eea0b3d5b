#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/rng.h"
#include "compiler/compile.h"
#include "compiler/int8/quantisation.h"
#include "compiler/int8/ranges.h"
#include "compiler/int8/trial.h"
#include "compiler/testing/golden_network.h"
#include "plan/plan_file.h"

namespace posefix::compiler {
namespace {

using testing::HasSubstr;

constexpr int64_t kSide = 64;
constexpr int64_t kJoints = 5;

Persons random_persons(int64_t count, uint64_t seed) {
  Rng rng(seed, 0, 0);
  Persons persons;
  persons.size = count;
  // Smooth pictures: what a filter answers to noise is small.
  for (int64_t i = 0; i < count; ++i) {
    const double fx = rng.uniform(0.02, 0.3);
    const double fy = rng.uniform(0.02, 0.3);
    for (int64_t p = 0; p < kSide * kSide; ++p) {
      const double wave = std::sin(fx * static_cast<double>(p % kSide)) * std::cos(fy * static_cast<double>(p / kSide));
      for (int c = 0; c < 3; ++c) persons.crops.push_back(static_cast<uint8_t>(128 + 90 * wave + rng.uniform(0, 30)));
    }
    for (int64_t k = 0; k < kJoints; ++k) {
      persons.pose.push_back(static_cast<float>(rng.uniform(0, kSide)));
      persons.pose.push_back(static_cast<float>(rng.uniform(0, kSide)));
      persons.valid.push_back(k == 3 ? 0.0F : 1.0F);
    }
  }
  return persons;
}

// A ResNet, an eighth as wide.
class Int8 : public testing::Test {
 protected:
  Int8() {
    build("resnet18");
    request_.calibration = random_persons(4, 1);
    request_.held_out = random_persons(4, 2);
    request_.max_drop = 100;
  }

  void build(const std::string& backbone) {
    graph_ = model::build(network_config(backbone, "1/8", kSide, kSide, 3), kJoints);
    weights_ = formula_weights(graph_, 1);
  }

  std::shared_ptr<const plan::Plan> compile_int8(const std::string& target) {
    CompileOptions options;
    options.target = target;
    options.precision = "int8";
    options.int8 = &request_;
    options.int8_report = &report_;
    return compile(graph_, weights_, {}, options);
  }

  graph::Graph graph_;
  NamedTensors weights_;
  Int8Request request_;
  Int8Report report_;
};

// Sums of whole numbers are exact on both; where a result lies between two codes, f32 and double may round apart.
TEST_F(Int8, CpuAndReferenceAgreeAtEveryBatch) {
  build("resnet50");
  const auto plan = compile_int8("cpu");
  const auto cpu = runtime::open_session(plan, {.backend = "cpu", .max_batch = 8, .threads = 1});
  if (!runtime::cpu_computes("int8")) {  // then there is nothing to agree with, and the session has to say so
    EXPECT_EQ(cpu->info().precision, "f32");
    return;
  }
  EXPECT_EQ(cpu->info().precision, "int8");
  const auto reference = runtime::open_session(plan, {.backend = "reference", .max_batch = 8, .threads = 1});
  EXPECT_EQ(reference->info().precision, "int8");
  const Persons persons = random_persons(8, 3);
  const std::vector<float> expected = answers(*reference, persons, 8);
  for (const int64_t batch : {1, 3, 8}) {
    SCOPED_TRACE(batch);
    const auto of_batch = std::span(expected).first(static_cast<size_t>(batch * kJoints * 2));
    const Difference apart = difference(answers(*cpu, persons, batch), of_batch);
    EXPECT_LT(apart.worst_px, 0.5);
    EXPECT_LT(apart.mean_px, 0.05);
  }
}

TEST_F(Int8, AReferencePlanRunsOnBoth) {
  const auto plan = compile_int8("reference");
  EXPECT_EQ(plan->metadata.target, "reference");
  const auto reference = runtime::open_session(plan, {.max_batch = 4, .threads = 1});
  const auto cpu = runtime::open_session(plan, {.backend = "cpu", .max_batch = 4, .threads = 1});
  const double apart_px =
      difference(answers(*cpu, request_.held_out, 4), answers(*reference, request_.held_out, 4)).worst_px;
  if (runtime::cpu_computes("int8")) {
    EXPECT_LT(apart_px, 0.5);
  } else {
    EXPECT_EQ(cpu->info().precision, "f32");
  }
}

TEST_F(Int8, ConvolutionsAreInt8AndNearF32) {
  const auto plan = compile_int8("cpu");
  EXPECT_EQ(plan->metadata.precision, "int8");
  size_t whole = 0;
  for (const plan::Step& step : plan->steps) whole += plan::weight_scales(*plan, step) >= 0 ? 1 : 0;
  EXPECT_EQ(whole, report_.layers.size());
  EXPECT_GE(whole, 20U);
  for (const QuantisedLayer& layer : report_.layers) {
    EXPECT_LT(layer.error, 0.1) << layer.name;
    EXPECT_FALSE(layer.in_f32);
  }
  EXPECT_GT(report_.mean_px, 0);
  EXPECT_LT(report_.mean_px, 5) << "untrained weights: the heat map is nearly flat";
  const std::vector<std::byte> bytes = plan::encode_plan(*plan);
  const auto f32 = compile(graph_, weights_, {}, {});
  EXPECT_LT(bytes.size(), plan::encode_plan(*f32).size() / 3);
  EXPECT_LE(plan->arena_bytes, f32->arena_bytes);
}

TEST_F(Int8, ConvolutionsFallBackUntilTheLimitHolds) {
  compile_int8("cpu");
  const double all = report_.mean_px;
  request_.max_drop = all / 3;
  const auto plan = compile_int8("cpu");
  EXPECT_LE(report_.drop, request_.max_drop);
  const auto in_f32 =
      std::count_if(report_.layers.begin(), report_.layers.end(), [](const QuantisedLayer& l) { return l.in_f32; });
  EXPECT_GT(in_f32, 0);
  EXPECT_LT(in_f32, static_cast<ptrdiff_t>(report_.layers.size()));
  if (!runtime::cpu_computes("int8")) return;
  const auto cpu = runtime::open_session(plan, {.backend = "cpu", .max_batch = 4, .threads = 1});
  const auto reference = runtime::open_session(plan, {.backend = "reference", .max_batch = 4, .threads = 1});
  EXPECT_LT(difference(answers(*cpu, request_.held_out, 4), answers(*reference, request_.held_out, 4)).worst_px, 0.5);
}

TEST_F(Int8, NeedsPersons) {
  request_.calibration = {};
  EXPECT_THAT([&] { compile_int8("cpu"); }, testing::ThrowsMessage<Error>(HasSubstr("--calibration")));
}

TEST(MagnitudeHistogram, RangesOfAMapWithAnOutlier) {
  Rng rng(1, 0, 0);
  std::vector<float> values;
  for (int i = 0; i < 200000; ++i) values.push_back(static_cast<float>(rng.uniform(-1, 1)));
  MagnitudeHistogram histogram;
  histogram.add(values);
  values.assign(10, 20.0F);
  histogram.add(values);
  histogram.add(std::vector<float>(7, 0.0F));
  const Ranges ranges = histogram.ranges(127);
  EXPECT_EQ(ranges[0], 20);
  EXPECT_NEAR(ranges[1], 1, 0.05) << "ten in 200000 lie above the percentile";
  EXPECT_GT(ranges[2], 1);
  EXPECT_LE(ranges[2], 20);
  EXPECT_EQ(MagnitudeHistogram().ranges(255)[0], 0);
}

}  // namespace
}  // namespace posefix::compiler
