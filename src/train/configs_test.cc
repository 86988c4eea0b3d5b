// Every configuration that ships has known keys and good values.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/testing/project_folder.h"
#include "model/config.h"
#include "pose/skeleton.h"
#include "train/config.h"
#include "train/training_data.h"
#include "train/validation.h"

namespace posefix::train {
namespace {

TEST(Configs, AllOfThemLoad) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(posefix::project_folder() / "configs")) {
    if (entry.path().extension() != ".yaml") continue;
    SCOPED_TRACE(entry.path().string());
    model::ModelConfig model;
    DataConfig data;
    TrainConfig train;
    ValidationConfig validation;
    Options options;
    model::add_options(options, model);
    add_options(options, data);
    add_options(options, train);
    add_options(options, validation);
    options.load(entry.path());
    EXPECT_GT(pose::Skeleton::load(model.skeleton).size(), 0);
    EXPECT_EQ(data.annotations.size(), data.images.size());
    EXPECT_EQ(train.batch_size % train.accumulate, 0);
    ++files;
  }
  EXPECT_GT(files, 0);
}

}  // namespace
}  // namespace posefix::train
