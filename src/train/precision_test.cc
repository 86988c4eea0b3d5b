// Training in bf16 and f16 against f32.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/rng.h"
#include "model/posefix_net.h"
#include "torchgraph/device.h"
#include "torchgraph/ops.h"
#include "train/trainer.h"

namespace posefix::train {
namespace {

using testing::HasSubstr;

constexpr int64_t kHeight = 64;
constexpr int64_t kWidth = 64;
constexpr int64_t kJoints = 3;
constexpr int64_t kBatchSize = 4;

sample::Batch noise_batch() {
  Rng rng(3, 0, 0);
  sample::Batch batch;
  batch.size = kBatchSize;
  batch.crops.resize(static_cast<size_t>(kBatchSize * kHeight * kWidth * 3));
  for (uint8_t& value : batch.crops) value = static_cast<uint8_t>(rng.next_u32());
  batch.pose.resize(static_cast<size_t>(kBatchSize * kJoints * 2));
  for (float& value : batch.pose) value = static_cast<float>(rng.uniform(0, kWidth));
  batch.target = batch.pose;
  batch.valid.assign(static_cast<size_t>(kBatchSize * kJoints), 1);
  batch.target_valid = batch.valid;
  return batch;
}

Trainer make_trainer(const std::string& precision) {
  torchgraph::fix_threads(1);
  model::ModelConfig model;
  model.width = "1/8";
  model.input_size = {kHeight, kWidth};
  const graph::Graph graph = model::build(model, kJoints);
  TrainConfig config;
  config.batch_size = kBatchSize;
  config.precision = precision;
  return Trainer(graph, model::initialise(graph, 1), config, "cpu");
}

// Whether this LibTorch trains in f16 on the CPU; when not, the error that says so.
std::string f16_problem() {
  try {
    make_trainer("f16");
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput);
    return error.what();
  }
}

std::vector<float> flat(const at::Tensor& tensor) {
  return {tensor.data_ptr<float>(), tensor.data_ptr<float>() + tensor.numel()};
}

// Rounding grows through fifty layers of batch norm, so gradients are not compared one by one: training on one batch
// must take the same course, update by update: f16 skips some steps until it has found its loss scale.
void expect_course_of_f32(const std::string& precision) {
  Trainer exact = make_trainer("f32");
  Trainer low = make_trainer(precision);
  const sample::Batch batch = noise_batch();
  const double start = exact.compute_gradients(batch).total();
  EXPECT_NEAR(low.compute_gradients(batch).total(), start, 0.02 * start);
  EXPECT_NE(low.compute_gradients(batch).total(), start) << "nothing was computed in " << precision;
  double expected = 0;
  double actual = 0;
  for (int step = 0; step < 20; ++step) {
    expected = exact.compute_gradients(batch).total();
    exact.update(2e-3);
    for (int64_t skipped = 0; low.adam().steps() < exact.adam().steps(); ++skipped) {
      ASSERT_LT(skipped, 16) << "in " << step;
      actual = low.compute_gradients(batch).total();
      low.update(2e-3);
    }
  }
  EXPECT_LT(expected, 0.8 * start);
  EXPECT_NEAR(actual, expected, 0.1 * start);
}

TEST(Precision, Bf16TrainsLikeF32) { expect_course_of_f32("bf16"); }

TEST(Precision, WhatTheLossReadsAndWhatIsStoredStaysF32) {
  Trainer trainer = make_trainer("bf16");
  const auto values = trainer.network().forward(trainer.inputs(noise_batch()), torchgraph::Mode::kTraining,
                                                {"logits", "coords_heatmap_px"});
  for (const at::Tensor& value : values) EXPECT_EQ(value.scalar_type(), at::kFloat);
  tensorfile::Snapshot snapshot;
  trainer.store(snapshot);
  for (const auto& [name, tensor] : snapshot.variables) EXPECT_EQ(tensor.dtype(), DType::kF32) << name;
}

void expect_overflow_to_skip_the_step() {
  Trainer trainer = make_trainer("f16");
  tensorfile::Snapshot state;
  trainer.store(state);
  LossScale scale;
  Tensor enormous = scale.state();
  const double value = 1e30;
  std::memcpy(enormous.mutable_bytes().data(), &value, sizeof value);
  state.state["train/loss_scale"] = enormous;
  trainer.restore(state, "state");
  const std::vector<float> before = flat(trainer.network().flat_values());
  trainer.compute_gradients(noise_batch());
  trainer.update(1e-3);
  EXPECT_EQ(trainer.loss_scale().value(), value / 2);
  EXPECT_EQ(trainer.loss_scale().skipped(), 1);
  EXPECT_EQ(trainer.steps(), 1);
  EXPECT_EQ(trainer.adam().steps(), 0);
  EXPECT_EQ(flat(trainer.network().flat_values()) == before, true);
}

// A device computes in f16 or it does not (LibTorch 1.13 on a CPU): then training in it is refused, with what to do.
TEST(Precision, F16TrainsLikeF32OrIsRefused) {
  const std::string problem = f16_problem();
  if (!problem.empty()) {
    EXPECT_THAT(problem, HasSubstr("train.precision f16"));
    EXPECT_THAT(problem, HasSubstr("use f32"));
    return;
  }
  expect_course_of_f32("f16");
  expect_overflow_to_skip_the_step();
}

TEST(LossScale, GrowsAfterManyGoodStepsAndHalvesAfterABadOne) {
  LossScale scale;
  for (int64_t step = 1; step < LossScale::kGrowAfter; ++step) scale.update(true);
  EXPECT_EQ(scale.value(), LossScale::kFirst);
  scale.update(true);
  EXPECT_EQ(scale.value(), 2 * LossScale::kFirst);
  scale.update(false);
  EXPECT_EQ(scale.value(), LossScale::kFirst);
  EXPECT_EQ(scale.skipped(), 1);
}

TEST(LossScale, ItsStateGoesOnWhereItWas) {
  LossScale scale;
  for (int i = 0; i < 3; ++i) scale.update(false);
  for (int64_t step = 1; step < LossScale::kGrowAfter; ++step) scale.update(true);
  LossScale restored;
  restored.restore(scale.state());
  EXPECT_EQ(restored.skipped(), 3);
  restored.update(true);
  EXPECT_EQ(restored.value(), LossScale::kFirst / 4);
}

TEST(LossScale, AnOverflowAtTheLeastScaleEnds) {
  LossScale scale;
  while (scale.value() > LossScale::kLeast) scale.update(false);
  EXPECT_THROW(scale.update(false), Error);
}

}  // namespace
}  // namespace posefix::train
