// A results file for evaluation: flat arrays, read by several threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/threads.h"
#include "dataset/pose_results.h"

namespace posefix::evaluate {

// N detections in file order. Only what OKS needs of a pose is kept.
struct Detections {
  std::string path;
  int joints = 0;                    // K; 0 when there is no detection
  std::vector<int64_t> image_id;     // [N]
  std::vector<int64_t> category_id;  // [N]
  std::vector<double> score;         // [N]
  // [N] px^2. COCO's rule: if the first result has a bbox, every area is its bbox's w*h, else the extent of all
  // joints, visible or not. (A later result without a bbox, which pycocotools cannot read, keeps its extent.)
  std::vector<double> area;
  std::vector<const double*> pose;  // [N] -> x of K joints, then y of K joints, image_px; owned by blocks

  std::vector<std::unique_ptr<double[]>> blocks;
  size_t size() const { return score.size(); }
};

// `joints` 0: what the first entry has. Error (bad input) as for dataset::read_pose_results.
Detections read_detections(const std::filesystem::path& path, int joints, ThreadPool& pool);

// From results that are in memory.
Detections detections_of(const std::vector<dataset::PoseResult>& results, int joints);

}  // namespace posefix::evaluate
