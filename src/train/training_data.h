// The data sets of a configuration (data.*, augment.*) as batches.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/options.h"
#include "model/config.h"
#include "pose/skeleton.h"
#include "sample/appearance.h"
#include "sample/augmentation.h"
#include "train/config.h"
#include "train/data_source.h"
#include "train/launch_environment.h"

namespace posefix::train {

struct DataConfig {
  // One entry a data set, COCO layout; the three lists run in parallel.
  std::vector<std::string> annotations;
  std::vector<std::string> images;
  // Train-set results of an estimator: where unannotated joints are put, and the input itself for estimate_share of
  // the samples; may be [].
  std::vector<std::string> input_pose;
  std::vector<int64_t> repeat;  // how many times each set counts in an epoch; []: once
  double estimate_share = 0;
  std::string errors = "paper";  // "paper" or a fitted errors.json
  bool skip_corrupt = false;
  int64_t cache_mib = 256;  // decoded pictures kept
  int64_t threads = 0;      // that make samples; 0: all cores. No result depends on it.
  bool augment = true;
  sample::AugmentationConfig augmentation;
  sample::AppearanceConfig appearance;
};

void add_options(Options& options, DataConfig& config);

// The batches of one process: train.batch_size / place.world persons a step.
// Error (bad input) for missing or corrupt files, with what was looked for.
std::unique_ptr<DataSource> open_training_data(const DataConfig& data, const TrainConfig& train,
                                               const model::ModelConfig& model, const pose::Skeleton& skeleton,
                                               const Place& place = {});

}  // namespace posefix::train
