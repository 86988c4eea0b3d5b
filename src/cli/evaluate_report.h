// What `posefix evaluate` computes and prints, one function a protocol: JSON first, the table is made from it.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "base/threads.h"
#include "pose/skeleton.h"

namespace posefix::cli {

using Json = nlohmann::ordered_json;

struct EvaluateRequest {
  std::filesystem::path annotations;
  std::filesystem::path results;
  std::filesystem::path baseline;  // empty: none
  std::filesystem::path slices;    // coco: JSON object, image id -> name of the slice; empty: none
  bool errors = false;             // coco: what each kind of error costs
  int bootstrap = 1000;            // coco: draws for the intervals of the gain, 0: none
  uint64_t seed = 1;
};

// {"AP", ..., "ARL", "curve", "reliability"}, with a baseline also "baseline", "gain", "gain_interval", "joints"; with
// slices "by"; with errors "errors".
Json evaluate_coco(const EvaluateRequest& request, const pose::Skeleton& skeleton, ThreadPool& pool);
std::string coco_table(const Json& json);

// {"PCKh@0.5", "PCKh@0.1", "AUC", "groups", "joints"}, with a baseline also "baseline" and "gain".
Json evaluate_pckh(const EvaluateRequest& request, const pose::Skeleton& skeleton);

// {"AP", "precision", "recall", "frames", "groups", "joints"}, with a baseline also "baseline" and "gain". Paths are
// files or folders of sequences; results may also be one COCO results file.
Json evaluate_posetrack(const EvaluateRequest& request);

// Of PCKh and PoseTrack.
std::string groups_table(const Json& json);

}  // namespace posefix::cli
