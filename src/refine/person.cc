#include "refine/person.h"

namespace posefix::refine {

pose::Box person_box(const Person& person, const pose::Skeleton& skeleton) {
  if (person.box) return *person.box;
  return pose::box_of_joints(*person.keypoints, skeleton.ignored);
}

pose::Box crop_box(const image::CropGeometry& geometry) {
  return {geometry.center_x - geometry.scale_w / 2, geometry.center_y - geometry.scale_h / 2, geometry.scale_w,
          geometry.scale_h};
}

void input_pose(const Person& person, const pose::Skeleton& skeleton, const image::CropGeometry& geometry,
                std::span<float> pose, std::span<float> valid) {
  const pose::Keypoints& keypoints = *person.keypoints;
  for (size_t joint = 0; joint < keypoints.size(); ++joint) {
    double x = keypoints[joint].x;
    double y = keypoints[joint].y;
    if (keypoints[joint].score > 0) image::map_to_crop(geometry, x, y);
    pose[2 * joint] = static_cast<float>(x);
    pose[2 * joint + 1] = static_cast<float>(y);
    valid[joint] = skeleton.is_ignored(static_cast<int>(joint)) ? 0.0F : 1.0F;
  }
}

void mirror_pose(std::span<const float> from, std::span<const int> flip_permutation, int crop_width,
                 std::span<float> to) {
  const float last = static_cast<float>(crop_width - 1);
  for (size_t joint = 0; joint < flip_permutation.size(); ++joint) {
    const size_t partner = static_cast<size_t>(flip_permutation[joint]);
    to[2 * joint] = last - from[2 * partner];
    to[2 * joint + 1] = from[2 * partner + 1];
  }
}

void map_back(std::span<const float> coords_crop_px, const pose::Box& crop_box, image::CropSize size,
              std::span<double> coords_image_px) {
  for (size_t i = 0; i < coords_crop_px.size(); i += 2) {
    coords_image_px[i] = coords_crop_px[i] / static_cast<double>(size.width) * crop_box.w + crop_box.x;
    coords_image_px[i + 1] = coords_crop_px[i + 1] / static_cast<double>(size.height) * crop_box.h + crop_box.y;
  }
}

double ranking_score(const Person& person, const pose::Skeleton& skeleton) {
  if (person.joint_scores.empty()) return person.score;
  double sum = 0;
  int count = 0;
  for (size_t joint = 0; joint < person.joint_scores.size(); ++joint) {
    if (skeleton.is_ignored(static_cast<int>(joint))) continue;
    sum += person.joint_scores[joint];
    ++count;
  }
  return count == 0 ? 0 : sum / count;
}

}  // namespace posefix::refine
