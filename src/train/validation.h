// How good the weights are on people that are not trained on: what the loop asks for every few epochs.
//
// Two measures, both on the averaged weights when there are some, in inference mode, in f32:
//  - poses with drawn errors, as in training but without augmentation: losses, error in the crop, PCK;
//  - an estimator's poses (where a set has them), refined and evaluated as `posefix refine` and `posefix evaluate` do
//    with their defaults: AP before and after.
// Invariant: validating changes nothing that training reads, and its figures depend on weights and data alone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/options.h"
#include "model/config.h"
#include "pose/skeleton.h"
#include "train/trainer.h"
#include "train/training_data.h"

namespace posefix::train {

struct ValidationConfig {
  // One entry a data set, COCO layout; the three lists run in parallel.
  std::vector<std::string> annotations;
  std::vector<std::string> images;
  std::vector<std::string> poses;  // an estimator's results on them; "" for a set without, [] for none at all
};

void add_options(Options& options, ValidationConfig& config);

struct SetAp {
  std::string poses;  // the results file
  double before = 0;  // COCO AP, 0 to 1
  double after = 0;
};

struct ValidationFigures {
  double loss = 0;             // heat map and coordinate, mean over samples
  double error_before_px = 0;  // crop_px, mean over annotated joints
  double error_after_px = 0;
  double pck_before = 0;  // share of annotated joints within kPckShare of the crop's height
  double pck_after = 0;
  std::vector<SetAp> sets;  // those with an estimator's poses

  double mean_ap_before() const;
  double mean_ap_after() const;
  // Higher is better: mean AP after where there is one, else minus the loss.
  double score() const { return sets.empty() ? -loss : mean_ap_after(); }
};

inline constexpr double kPckShare = 0.05;

using Validate = std::function<ValidationFigures(Trainer& trainer)>;

// Reads annotations and poses once; an empty function when the configuration names no data. `data` gives the error
// model and the cache. Error (bad input) for missing or corrupt files; the function throws Error (interrupted).
Validate open_validation(const ValidationConfig& validation, const DataConfig& data, const TrainConfig& train,
                         const model::ModelConfig& model, const pose::Skeleton& skeleton);

}  // namespace posefix::train
