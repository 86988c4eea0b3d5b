// Pose files (P.json, R.json): COCO keypoint results.
//
//   [{"image_id": 785, "category_id": 1, "keypoints": [x, y, score, ...K times], "score": 0.9,
//     "bbox": [x, y, w, h], "file_name": "a.jpg", ...}, ...]
//
// image_id, category_id, keypoints and score are required; instead of score there may be "scores", one per joint, as
// MPII and PoseTrack results have them (then score is their mean). bbox and file_name are optional. Unknown fields are
// kept: what is written is the text that was read with new numbers in it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "dataset/finding.h"
#include "pose/keypoints.h"

namespace posefix::dataset {

struct PoseResult {
  int64_t image_id = 0;
  int64_t category_id = 0;
  pose::Keypoints keypoints;      // [K] image_px
  double score = 0;               // mean of `scores` when the entry has no score of its own
  std::vector<double> scores;     // [K] or empty
  std::optional<pose::Box> bbox;  // image_px
  std::optional<std::string> file_name;
  size_t index = 0;  // position in the file, from 0
  // Parts of PoseResults::file's text, for writing the entry back; borrowed from the mapped file.
  std::string_view raw;              // the entry
  std::string_view raw_keypoints;    // the value of "keypoints" in it
  std::string_view raw_score;        // the value of "score", empty if there is none
  std::string_view raw_uncertainty;  // of "uncertainty", as an earlier refinement wrote it; empty if there is none
};

struct PoseResults {
  std::string path;
  std::vector<PoseResult> entries;
  std::shared_ptr<const MappedFile> file;  // keeps the raw parts alive
};

// Kind of the warning about entries with "scores" but no "score".
inline constexpr const char* kScoresOnly = "poses with a score per joint only";

struct PoseReadOptions {
  // K; 0: what the first entry has.
  int joints = 0;
  // Every entry must have a bbox, as train-set results must.
  bool require_bbox = false;
  // Warnings go here (nowhere if empty). With `keep_going`, entries that cannot be used go here as errors and are left
  // out; without it the first one is thrown.
  FindingSink findings = {};
  bool keep_going = false;
};

// Error (bad input) names file, JSON pointer and byte offset, what was expected and found.
PoseResults read_pose_results(const std::filesystem::path& path, const PoseReadOptions& options);

struct RefinedPose {
  size_t entry;                          // position in PoseResults::entries
  pose::Keypoints keypoints;             // [K] image_px, written with 3 decimals
  std::optional<double> score;           // replaces the entry's score when set
  bool adds_score = false;               // an entry without a score gets `score`
  std::vector<double> uncertainty = {};  // [K] image_px, written as "uncertainty" with 3 decimals; empty: left alone
};

// Writes the named entries in the order given, each with its own fields in their order. Atomic.
void write_pose_results(const std::filesystem::path& path, const PoseResults& input,
                        std::span<const RefinedPose> refined);

// Writes results that were not read from a file. Atomic.
void write_pose_results(const std::filesystem::path& path, std::span<const PoseResult> results);

}  // namespace posefix::dataset
