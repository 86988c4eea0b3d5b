#include "train/schedule.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace posefix::train {
namespace {

TEST(Schedule, StepsOfThePaper) {
  const TrainConfig config;
  const RunLength length = run_length(config, 1280);  // ten steps an epoch
  EXPECT_EQ(length.total_steps, 1400);
  EXPECT_DOUBLE_EQ(learning_rate(config, length, 0), 5e-4);
  EXPECT_DOUBLE_EQ(learning_rate(config, length, 899), 5e-4);
  EXPECT_DOUBLE_EQ(learning_rate(config, length, 900), 5e-5);
  EXPECT_DOUBLE_EQ(learning_rate(config, length, 1200), 5e-6);
}

TEST(Schedule, CosineWithWarmUp) {
  TrainConfig config;
  config.schedule = "cosine";
  config.warmup_epochs = 2;
  config.final_learning_rate = 1e-5;
  const RunLength length = run_length(config, 1280);
  EXPECT_NEAR(learning_rate(config, length, 0), 5e-4 / 20, 1e-8);
  EXPECT_NEAR(learning_rate(config, length, 20), 5e-4, 1e-6);
  EXPECT_NEAR(learning_rate(config, length, 700), (5e-4 + 1e-5) / 2, 1e-12);
  EXPECT_NEAR(learning_rate(config, length, 1400), 1e-5, 1e-12);
}

TEST(Schedule, RoundsTheLastStepUpAndRefusesNoData) {
  TrainConfig config;
  config.epochs = 2;
  EXPECT_EQ(run_length(config, 100).total_steps, 2);
  EXPECT_THROW(run_length(config, 0), Error);
}

}  // namespace
}  // namespace posefix::train
