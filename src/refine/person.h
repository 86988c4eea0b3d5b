// One person on the way into the network and back: box, crop, the pose in the crop's frame.
//
// Frames: image_px is the picture, crop_px the network's input (W x H). Source: PoseFix_RELEASE main/test.py and
// main/gen_batch.py; the rules that surprise are kept because trained models rely on them.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "image/crop.h"
#include "pose/keypoints.h"
#include "pose/skeleton.h"

namespace posefix::refine {

struct Person {
  size_t picture = 0;                          // index of the picture
  const pose::Keypoints* keypoints = nullptr;  // borrowed; [K] image_px
  std::optional<pose::Box> box;                // used instead of the joints' extent
  double score = 0;                            // of the whole pose
  std::span<const double> joint_scores = {};   // [K], borrowed; of estimators that score joints only, else empty
};

// The person's box: as given, or the extent of the joints that the skeleton fills, grown 1.2x.
pose::Box person_box(const Person& person, const pose::Skeleton& skeleton);

// The part of the picture that the crop shows: x, y of its corner, width and height; image_px.
pose::Box crop_box(const image::CropGeometry& geometry);

// Input pose for the network. Joints with a score above 0 are mapped into the crop; the others keep their numbers,
// picture coordinates taken for crop coordinates, and count as valid all the same. Ignored slots alone are invalid.
// `pose` is [K,2] crop_px, `valid` is [K].
void input_pose(const Person& person, const pose::Skeleton& skeleton, const image::CropGeometry& geometry,
                std::span<float> pose, std::span<float> valid);

// Mirrors a pose in the crop: x -> W-1-x, left and right exchanged. `from` and `to` are [K,2] crop_px, not the same.
void mirror_pose(std::span<const float> from, std::span<const int> flip_permutation, int crop_width,
                 std::span<float> to);

// Crop coordinates to the picture: x / W * width of the crop box + its corner. `coords` is [K,2].
void map_back(std::span<const float> coords_crop_px, const pose::Box& crop_box, image::CropSize size,
              std::span<double> coords_image_px);

// What duplicates are ranked by: the pose's score, or the mean of the joints' over the slots that the skeleton fills.
double ranking_score(const Person& person, const pose::Skeleton& skeleton);

}  // namespace posefix::refine
