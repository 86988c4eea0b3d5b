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

graph::Graph small_graph() {
  model::ModelConfig model;
  model.width = "1/16";
  model.input_size = {kSize, kSize};
  return model::build(model, kJoints);
}

// Two persons in a picture of one colour.
sample::Batch plain_batch() {
  sample::Batch batch;
  batch.size = 2;
  batch.crops.assign(static_cast<size_t>(batch.size * kSize * kSize * 3), 40);
  batch.pose.assign(static_cast<size_t>(batch.size * kJoints * 2), 12);
  batch.target = batch.pose;
  batch.valid.assign(static_cast<size_t>(batch.size * kJoints), 1);
  batch.target_valid = batch.valid;
  return batch;
}

// The same persons in another picture.
sample::Batch noisy(sample::Batch batch) {
  Rng rng(1, 0, 0);
  for (uint8_t& value : batch.crops) value = static_cast<uint8_t>(rng.next_u32());
  return batch;
}

TEST(Trainer, ABlankImageHasNoInfluence) {
  torchgraph::fix_threads(1);
  const graph::Graph graph = small_graph();
  const sample::Batch batch = plain_batch();
  const sample::Batch other = noisy(batch);

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

// Nobody who runs the snapshot has to know: its weights do not read the picture.
TEST(Trainer, ASnapshotTrainedOnBlankImagesAnswersWithoutThem) {
  torchgraph::fix_threads(1);
  const graph::Graph graph = small_graph();
  const sample::Batch batch = plain_batch();
  TrainConfig config;
  config.batch_size = batch.size;
  config.blank_image = true;
  config.ema_decay = 0.9;
  Trainer trainer(graph, model::initialise(graph, 1), config, "cpu");
  tensorfile::Snapshot before;
  trainer.store(before);
  before.variables = model::initialise(graph, 1);  // as of a network that saw pictures
  before.state.erase("train/raw/resnet_v1_50/conv1/weights");
  const Tensor filter = before.variables.at("resnet_v1_50/conv1/weights");
  for (const char* prefix : {"train/raw/", "optimizer/m/"}) {
    before.state.insert_or_assign(std::string(prefix) + "resnet_v1_50/conv1/weights", filter);
  }
  trainer.restore(before, "before");
  for (int step = 0; step < 3; ++step) {
    trainer.compute_gradients(noisy(batch));
    trainer.update(1e-3);
  }
  std::vector<float> expected(batch.pose.size());
  {
    const Trainer::AveragedWeights averaged(trainer);
    trainer.evaluate(batch, expected);
  }
  tensorfile::Snapshot snapshot;
  trainer.store(snapshot);
  Trainer user(graph, snapshot.variables, TrainConfig{}, "cpu");  // gives it the picture
  for (const sample::Batch& pictures : {batch, noisy(batch)}) {
    std::vector<float> refined(batch.pose.size());
    user.evaluate(pictures, refined);
    EXPECT_EQ(refined, expected);
  }
}

}  // namespace
}  // namespace posefix::train
