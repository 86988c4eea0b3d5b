// PoseTrack 2018 sequence files (annotations and predictions), one JSON file a video.
//
//   {"images": [{"id", "file_name", "ignore_regions_x": [[...]], "ignore_regions_y": [[...]]}...],
//    "annotations": [{"image_id", "track_id", "keypoints": [x, y, v]*K, "scores": [K], "bbox_head": [x, y, w, h]}...],
//    "categories": [{"keypoints": [name...]}]}
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pose/keypoints.h"

namespace posefix::dataset {

struct IgnoreRegion {
  std::vector<double> x, y;  // corners, image_px
};

struct TrackedPerson {
  int64_t track_id = 0;
  pose::Keypoints keypoints;      // [K] in the file's order; score = v
  std::vector<double> scores;     // [K] or empty
  std::optional<pose::Box> head;  // bbox_head, image_px
  size_t index = 0;               // position in the file's "annotations"
};

struct TrackedFrame {
  int64_t image_id = 0;
  std::string file_name;
  std::vector<IgnoreRegion> ignore_regions;
  std::vector<TrackedPerson> people;
};

struct PosetrackSequence {
  std::string path;
  std::vector<std::string> joints;   // names of the K slots
  std::vector<TrackedFrame> frames;  // file order
};

// Error (bad input) names file, JSON pointer and byte offset; two people of one frame with the same track id are
// refused, as PoseTrack's own evaluation does.
PosetrackSequence read_posetrack_sequence(const std::filesystem::path& path);

}  // namespace posefix::dataset
