#include "train/validation_history.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace posefix::train {
namespace {

std::vector<int64_t> due_steps(double every, const RunLength& length) {
  TrainConfig config;
  config.validate_every = every;
  const ValidationHistory history(config, length);
  std::vector<int64_t> steps;
  for (int64_t step = 0; step <= length.total_steps; ++step) {
    if (history.due(step)) steps.push_back(step);
  }
  return steps;
}

TEST(ValidationHistory, IsDueWhereAnIntervalEndsAndAtTheEnd) {
  const RunLength length{40, 4, 25};  // ten steps an epoch
  EXPECT_EQ(due_steps(1, length), (std::vector<int64_t>{10, 20, 25}));
  EXPECT_EQ(due_steps(0.5, length), (std::vector<int64_t>{5, 10, 15, 20, 25}));
  EXPECT_EQ(due_steps(2, length), (std::vector<int64_t>{20, 25}));
  EXPECT_EQ(due_steps(0, length), (std::vector<int64_t>{}));
}

TEST(ValidationHistory, AnIntervalShorterThanAStepIsAStep) {
  EXPECT_EQ(due_steps(0.01, RunLength{40, 20, 3}), (std::vector<int64_t>{1, 2, 3}));
}

TEST(ValidationHistory, StopsAfterValidationsThatAreNoBetter) {
  TrainConfig config;
  config.early_stop = 2;
  ValidationHistory history(config, RunLength{});
  EXPECT_TRUE(history.add(1, std::nan("")));
  EXPECT_TRUE(history.add(2, 0.5));
  EXPECT_FALSE(history.add(3, 0.5));
  EXPECT_FALSE(history.should_stop());
  EXPECT_FALSE(history.add(4, std::nan("")));
  EXPECT_TRUE(history.should_stop());
  EXPECT_EQ(history.best_step(), 2);
  EXPECT_EQ(history.last_step(), 4);
}

}  // namespace
}  // namespace posefix::train
