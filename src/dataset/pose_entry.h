// One entry of a pose file as it is read: the part that read_pose_results and the evaluation's reader share.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "dataset/json_cursor.h"
#include "dataset/pose_results.h"

namespace posefix::dataset {

// Buffers are used again for the next entry, so that reading allocates nothing per entry.
struct PoseEntry {
  size_t index = 0;
  int64_t image_id = 0;
  int64_t category_id = 0;
  bool image_id_was_float = false;
  bool has_score = false;
  double score = 0;
  std::vector<double> keypoints;  // [3K] x, y, score
  std::vector<double> scores;     // [K] or empty
  std::vector<double> bbox;       // [4] x, y, w, h or empty
  bool bbox_is_empty_list = false;
  std::optional<std::string> file_name;
  std::string_view raw;
  std::string_view raw_keypoints;
  std::string_view raw_score;
  std::string_view raw_uncertainty;
};

// Reads the next value of `json`, which must be an entry, into `entry`. *joints is K or, when 0, set from this entry.
// Error (bad input) as for read_pose_results.
void read_pose_entry(JsonCursor& json, int* joints, bool require_bbox, PoseEntry& entry);

// Refuses a document that is no list of entries, saying what it seems to be; `json` stands at its start.
void expect_pose_list(JsonCursor& json);

}  // namespace posefix::dataset
