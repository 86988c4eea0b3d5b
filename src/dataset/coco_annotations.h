// COCO annotation files (person keypoints).
//
//   {"images": [{"id", "file_name", "width", "height"}...],
//    "annotations": [{"id", "image_id", "category_id", "bbox", "area", "iscrowd", "num_keypoints", "keypoints",
//                     "bbox_head" (optional)}...],
//    "categories": [{"id", "name", "keypoints"}...]}
//
// Segmentations and everything else are stepped over. Image-information files (test-dev) have no annotations.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "dataset/finding.h"
#include "pose/keypoints.h"

namespace posefix::dataset {

struct AnnotatedImage {
  int64_t id = 0;
  std::string file_name;
  int width = 0;  // px; 0: not given
  int height = 0;
  int license = 0;  // 0: not given
};

struct Annotation {
  int64_t id = 0;
  int64_t image_id = 0;
  int64_t category_id = 0;
  pose::Box bbox;   // image_px
  double area = 0;  // of the segment, px^2
  bool iscrowd = false;
  int num_keypoints = 0;              // the field; joints with v > 0 when the field is missing
  pose::Keypoints keypoints;          // [K], score = visibility flag v
  std::optional<pose::Box> head_box;  // "bbox_head", image_px: what PCKh measures in; PoseTrack and MPII have it
  size_t index = 0;                   // position in the file's "annotations"
};

struct Category {
  int64_t id = 0;
  std::string name;
  std::vector<std::string> keypoints;
};

struct CocoAnnotations {
  std::string path;
  std::vector<AnnotatedImage> images;   // file order
  std::vector<Annotation> annotations;  // file order
  std::vector<Category> categories;
  bool has_categories = false;

  int joints = 0;  // K; 0 when there is no annotation
  // Position in `images` of an image id; of two with the same id the later one. nullptr if unknown.
  const AnnotatedImage* find_image(int64_t id) const;

  std::unordered_map<int64_t, size_t> image_index;
};

struct AnnotationReadOptions {
  int joints = 0;             // K; 0: what the first annotation has
  bool require_area = true;   // false: a missing area becomes the box's
  FindingSink findings = {};  // as in pose_results.h
  bool keep_going = false;
};

// Error (bad input) names file, JSON pointer and byte offset.
CocoAnnotations read_coco_annotations(const std::filesystem::path& path, const AnnotationReadOptions& options = {});

}  // namespace posefix::dataset
