// The training loop: from a snapshot or the start to a number of steps, with snapshots, metrics and progress.
//
// Invariant: the bytes of the last snapshot depend on the configuration and the number of steps alone, not on where
// the run was interrupted, how it was, or the clock; nor on whether and when it was validated, but for an early stop.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "train/config.h"
#include "train/data_source.h"
#include "train/run_folder.h"
#include "train/trainer.h"
#include "train/validation.h"

namespace posefix::train {

struct LoopOptions {
  int64_t stop_after = -1;    // steps in all; -1: the recipe's
  std::string config_yaml;    // resolved, without what does not change results: stored in snapshots
  std::string resolved_yaml;  // the whole, for RUN/config.yaml: written when nothing stands in the run's way any more
  std::string skeleton_yaml;  // stored in snapshots
  nlohmann::ordered_json start;  // what metrics.jsonl says of this start: device, machine and so on
  Validate validate;             // empty: no validation
  bool quiet = false;
  // Lines for a person, e.g. a picture that was skipped.
  std::function<void(const std::string&)> report = [](const std::string&) {};
};

// Goes on from the folder's snapshot when there is one. Error (interrupted) after a signal, with a snapshot written;
// Error (failed) when a loss is not finite, with the state and the batch written.
// Several processes: rank 0 alone writes the folder (but for the batch of a loss that is not finite); all stop after
// the same step.
void train_in(RunFolder& folder, Trainer& trainer, DataSource& data, const TrainConfig& config,
              const LoopOptions& options);

}  // namespace posefix::train
