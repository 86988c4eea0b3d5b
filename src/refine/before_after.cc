#include "refine/before_after.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace posefix::refine {
namespace {

constexpr int kReadableWidth_px = 480;

std::string count_of(size_t count, const char* noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

// Joints keep the estimator's score, so that a joint which it did not see is drawn on neither side.
pose::Keypoints refined_pose(const Refined& refined, const Person& person, size_t index) {
  pose::Keypoints keypoints = *person.keypoints;
  const std::span<const double> coords = refined.coords(index);
  for (size_t joint = 0; joint < keypoints.size(); ++joint) {
    keypoints[joint].x = coords[2 * joint];
    keypoints[joint].y = coords[2 * joint + 1];
  }
  return keypoints;
}

void measure_moves(PictureChange& change) {
  size_t joints = 0;
  double sum = 0;
  for (size_t i = 0; i < change.after.size(); ++i) {
    const pose::Keypoints& from = change.before[i].keypoints;
    const pose::Keypoints& to = change.after[i].keypoints;
    for (size_t joint = 0; joint < to.size(); ++joint) {
      if (from[joint].score <= 0) continue;
      const double move_px = std::hypot(to[joint].x - from[joint].x, to[joint].y - from[joint].y);
      sum += move_px;
      change.worst_move_px = std::max(change.worst_move_px, move_px);
      ++joints;
    }
  }
  change.mean_move_px = joints == 0 ? 0 : sum / static_cast<double>(joints);
}

void scale(std::vector<image::DrawnPerson>& people, double factor) {
  for (image::DrawnPerson& person : people) {
    for (pose::Keypoint& joint : person.keypoints) {  // pixel centres at integers
      joint.x = (joint.x + 0.5) * factor - 0.5;
      joint.y = (joint.y + 0.5) * factor - 0.5;
    }
  }
}

}  // namespace

std::string PictureChange::caption_before() const { return "before: " + count_of(before.size(), "pose"); }

std::string PictureChange::caption_after() const {
  std::string caption = "after: " + count_of(after.size(), "pose");
  if (!after.empty()) {
    caption += fmt::format(", moved {:.1f} px on average ({:.1f} at most)", mean_move_px, worst_move_px);
  }
  if (suppressed > 0) caption += ", " + count_of(suppressed, "duplicate") + " removed";
  return caption;
}

std::vector<PictureChange> picture_changes(const Refined& refined, std::span<const Person> people, size_t pictures) {
  std::vector<PictureChange> changes(pictures);
  for (const bool kept : {true, false}) {
    for (size_t i = 0; i < people.size(); ++i) {
      if ((refined.kept[i] != 0) != kept) continue;
      PictureChange& change = changes.at(people[i].picture);
      const int color = static_cast<int>(change.before.size());
      change.before.push_back({*people[i].keypoints, color, kept ? "" : "duplicate"});
      if (kept) change.after.push_back({refined_pose(refined, people[i], i), color, ""});
      if (!kept) ++change.suppressed;
    }
  }
  for (PictureChange& change : changes) measure_moves(change);
  return changes;
}

image::Image before_after(const image::Image& picture, const pose::Skeleton& skeleton, const PictureChange& change) {
  if (picture.width >= kReadableWidth_px) {
    return image::side_by_side(picture, skeleton, change.before, change.after, change.caption_before(),
                               change.caption_after());
  }
  std::vector<image::DrawnPerson> before = change.before;
  std::vector<image::DrawnPerson> after = change.after;
  const double factor = static_cast<double>(kReadableWidth_px) / picture.width;
  scale(before, factor);
  scale(after, factor);
  return image::side_by_side(image::resized(picture, kReadableWidth_px), skeleton, before, after,
                             change.caption_before(), change.caption_after());
}

}  // namespace posefix::refine
