// People to run a model on when two models are compared: from poses and annotations, or drawn.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "dataset/coco_annotations.h"
#include "dataset/pose_results.h"
#include "pose/skeleton.h"
#include "refine/refiner.h"
#include "refine/selection.h"

namespace posefix::cli {

// Owns what refine::Person borrows; entries of a selection from poses point into `poses`.
struct People {
  dataset::PoseResults poses;
  std::vector<pose::Keypoints> drawn;
  refine::Selection selection;
  std::optional<dataset::CocoAnnotations> annotations;
};

// One person a picture, at most so many: its box is the picture, its joints lie anywhere in it. The same at every call.
// Error (bad input) names `flag` if the folder holds no pictures.
People drawn_people(const std::string& flag, const std::filesystem::path& pictures, size_t at_most,
                    const pose::Skeleton& skeleton);

// Those of the poses, chosen by the annotations ("": all of them, at most so many).
People given_people(const std::filesystem::path& pictures, const std::filesystem::path& poses,
                    const std::filesystem::path& annotations, size_t at_most, const pose::Skeleton& skeleton);

// Those of the annotations, with synthesised poses.
People annotated_people(const std::filesystem::path& pictures, const std::filesystem::path& annotations,
                        const pose::Skeleton& skeleton);

// COCO AP of the people's refined poses; needs annotations.
double average_precision(const People& people, const refine::Refined& refined, const pose::Skeleton& skeleton);

}  // namespace posefix::cli
