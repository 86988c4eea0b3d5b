// Calibrating a network: it answers people whose truth is known, and trust/fit.h learns from that.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "evaluate/coco_keypoints.h"
#include "runtime/session.h"
#include "trust/fit.h"

namespace posefix::cli {

struct CalibrationRequest {
  std::filesystem::path snapshot;
  std::filesystem::path out;  // the snapshot with its calibration and without training state
  // One pose file each, or one set of annotations and pictures for all pose files.
  std::vector<std::filesystem::path> annotations;
  std::vector<std::filesystem::path> images;
  std::vector<std::filesystem::path> poses;
  // Poses of the same people drawn with these errors are calibrated on too, `draws` of each person: errors that are
  // rare among the estimators' poses, or that they do not make at all. "paper" or a file of `errors fit`; "": none.
  std::string drawn_errors;
  int draws = 4;
  runtime::SessionOptions session;
  bool flip = true;
};

// One pose file, or one draw of an annotation file's people. Figures of its poses as they are, with the answer as it
// is, moved by the calibration, and with the new scores too; the last two cross-validated.
struct CalibrationSource {
  std::string poses;
  size_t count = 0;   // poses
  size_t people = 0;  // poses that belong to annotated people
  evaluate::CocoFigures before, raw, calibrated, rescored;
};

struct Calibration {
  trust::Fitted fitted;
  std::vector<CalibrationSource> sources;
};

// What the keys calibrate.* of a training configuration say; without poses there is nothing to do. snapshot and out are
// left open. Error (bad input) as for any key.
CalibrationRequest calibration_keys(const std::filesystem::path& config, const std::vector<std::string>& set);

// Before hours of training: Error (bad input) if the lists do not go together or a file is missing.
void check_files(const CalibrationRequest& request);

// Writes request.out. Error (bad input): files that do not go together, too few people.
Calibration calibrate(const CalibrationRequest& request);

// To stdout.
void print_calibration(const Calibration& calibration, bool json);

}  // namespace posefix::cli
