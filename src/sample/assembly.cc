#include "sample/assembly.h"

#include "base/error.h"
#include "base/rounding.h"

namespace posefix::sample {

void joints_to_crop(const pose::Keypoints& joints, const image::CropGeometry& geometry, image::CropSize size,
                    std::span<const int> partner, pose::Keypoints& mapped) {
  PFX_CHECK(joints.size() == partner.size());
  mapped.resize(joints.size());
  for (size_t j = 0; j < joints.size(); ++j) {
    pose::Keypoint& joint = mapped[j];
    joint = joints[geometry.flip ? static_cast<size_t>(partner[j]) : j];
    if (joint.score > 0) {
      image::map_to_crop(geometry, joint.x, joint.y);
      if (!(joint.x >= 0 && joint.x < size.width && joint.y >= 0 && joint.y < size.height)) joint.score = 0;
    } else if (geometry.flip) {
      joint.x = geometry.image_width - 1 - joint.x;
    }
  }
}

double area_in_crop(const pose::Box& box, const image::CropGeometry& geometry, image::CropSize size) {
  const double factor = size.width / geometry.scale_w;
  return static_cast<double>(round_to_f32(box.w)) * factor * static_cast<double>(round_to_f32(box.h)) * factor;
}

SampleMaker::SampleMaker(const pose::Skeleton& skeleton, const synthesis::ErrorModel& errors, image::CropSize size)
    : size_(size), partner_(skeleton.flip_permutation()), errors_(errors, skeleton), drawn_(skeleton.joints.size()) {}

// Into drawn_, from gt_.
void SampleMaker::draw_errors(const dataset::Person& person, std::span<const dataset::Person> people,
                              const image::CropGeometry& geometry, Rng& rng) {
  if (near_.size() < person.near.size()) near_.resize(person.near.size());
  for (size_t i = 0; i < person.near.size(); ++i) {
    joints_to_crop(people[person.near[i]].gt, geometry, size_, partner_, near_[i]);
  }
  std::span<const pose::Keypoint> estimated;
  if (person.estimated) estimated = estimated_;
  const auto overlaps = static_cast<int>(person.near.size());
  errors_.synthesise({gt_, estimated, std::span(near_).first(person.near.size()),
                      area_in_crop(person.bbox, geometry, size_), overlaps},
                     rng, drawn_);
}

void SampleMaker::make(const dataset::Person& person, std::span<const dataset::Person> people,
                       const image::Image& picture, const image::Augmentation& augmentation, bool as_estimated,
                       Rng& rng, const SampleSlot& slot) {
  const image::CropGeometry geometry = image::crop_geometry(person.bbox, size_, picture.width, augmentation);
  image::warp(picture, geometry, size_, slot.crop);
  joints_to_crop(person.gt, geometry, size_, partner_, gt_);
  if (person.estimated) joints_to_crop(*person.estimated, geometry, size_, partner_, estimated_);
  if (as_estimated) {
    PFX_CHECK(person.estimated.has_value());
    for (size_t j = 0; j < drawn_.size(); ++j) {
      const pose::Keypoint& joint = estimated_[j];
      drawn_[j] = {};
      if (joint.score > 0) drawn_[j] = {.x = joint.x, .y = joint.y, .valid = true};
    }
  } else {
    draw_errors(person, people, geometry, rng);
  }
  for (size_t j = 0; j < gt_.size(); ++j) {
    const synthesis::SynthesisedJoint& drawn = drawn_[j];
    const bool annotated = gt_[j].score > 0;
    slot.pose[2 * j] = static_cast<float>(drawn.x);
    slot.pose[2 * j + 1] = static_cast<float>(drawn.y);
    slot.valid[j] = drawn.valid ? 1 : 0;
    slot.target[2 * j] = annotated ? static_cast<float>(gt_[j].x) : 0;
    slot.target[2 * j + 1] = annotated ? static_cast<float>(gt_[j].y) : 0;
    slot.target_valid[j] = annotated ? 1 : 0;
  }
}

}  // namespace posefix::sample
