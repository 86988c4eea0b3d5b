#include "train/trainer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/rng.h"
#include "model/posefix_net.h"
#include "torchgraph/device.h"

namespace posefix::train {
namespace {

constexpr int64_t kJoints = 3;
constexpr int64_t kSize = 32;

TEST(Trainer, ABlankImageHasNoInfluence) {
  torchgraph::fix_threads(1);
  model::ModelConfig model;
  model.width = "1/16";
  model.input_size = {kSize, kSize};
  const graph::Graph graph = model::build(model, kJoints);
  sample::Batch batch;
  batch.size = 2;
  batch.crops.assign(static_cast<size_t>(batch.size * kSize * kSize * 3), 40);
  batch.pose.assign(static_cast<size_t>(batch.size * kJoints * 2), 12);
  batch.target = batch.pose;
  batch.valid.assign(static_cast<size_t>(batch.size * kJoints), 1);
  batch.target_valid = batch.valid;
  sample::Batch other = batch;
  Rng rng(1, 0, 0);
  for (uint8_t& value : other.crops) value = static_cast<uint8_t>(rng.next_u32());

  for (const bool blank : {false, true}) {
    TrainConfig config;
    config.batch_size = batch.size;
    config.blank_image = blank;
    Trainer trainer(graph, model::initialise(graph, 1), config, "cpu");
    std::vector<float> refined(batch.pose.size());
    std::vector<float> refined_other(batch.pose.size());
    trainer.evaluate(batch, refined);
    trainer.evaluate(other, refined_other);
    EXPECT_EQ(refined == refined_other, blank);
    const LossValues losses = trainer.compute_gradients(batch);
    EXPECT_EQ(trainer.compute_gradients(other).coord == losses.coord, blank);
  }
}

}  // namespace
}  // namespace posefix::train
