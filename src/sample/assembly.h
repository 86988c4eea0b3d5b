// One training sample from a picture and a person: crop, synthesised input pose, target.
//
// Source: PoseFix_RELEASE main/gen_batch.py; in words: tests/golden/synthesis/ALGORITHM.md section 1 and
// tests/golden/crop/README.md.
#pragma once

#include <span>
#include <vector>

#include "base/rng.h"
#include "dataset/training_people.h"
#include "image/crop.h"
#include "pose/skeleton.h"
#include "synthesis/pose_errors.h"

namespace posefix::sample {

// Joints as the network's frame sees them. Those with score > 0 are mapped to crop_px, and their score becomes 0
// outside [0,W)x[0,H); the others keep their coordinates, mirrored when the picture is. Pairs are swapped by a flip.
// `partner` is the skeleton's flip permutation.
void joints_to_crop(const pose::Keypoints& joints, const image::CropGeometry& geometry, image::CropSize size,
                    std::span<const int> partner, pose::Keypoints& mapped);

// Area of the person's box in crop_px^2: what joint errors are measured against.
double area_in_crop(const pose::Box& box, const image::CropGeometry& geometry, image::CropSize size);

// Where the parts of one sample go; crop_px.
struct SampleSlot {
  std::span<uint8_t> crop;        // [H,W,3] BGR
  std::span<float> pose;          // [K,2] input pose; 0 where not valid
  std::span<float> valid;         // [K]
  std::span<float> target;        // [K,2] annotated places; 0 where not valid
  std::span<float> target_valid;  // [K] annotated and inside the crop
};

// Makes samples; holds scratch memory, one per thread.
class SampleMaker {
 public:
  // All arguments are copied. Error (bad input) when model and skeleton do not fit.
  SampleMaker(const pose::Skeleton& skeleton, const synthesis::ErrorModel& errors, image::CropSize size);

  // `people` are those that person.near points into; `rng` is for the pose errors alone. `as_estimated`: the input is
  // the person's estimated pose as it is, without drawn errors; the person must have one.
  void make(const dataset::Person& person, std::span<const dataset::Person> people, const image::Image& picture,
            const image::Augmentation& augmentation, bool as_estimated, Rng& rng, const SampleSlot& slot);

 private:
  void draw_errors(const dataset::Person& person, std::span<const dataset::Person> people,
                   const image::CropGeometry& geometry, Rng& rng);

  image::CropSize size_;
  std::vector<int> partner_;
  synthesis::PoseErrors errors_;
  pose::Keypoints gt_;
  pose::Keypoints estimated_;
  std::vector<pose::Keypoints> near_;
  std::vector<synthesis::SynthesisedJoint> drawn_;
};

}  // namespace posefix::sample
