#include "report/before_after.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace posefix::report {
namespace {

constexpr int kReadableWidth_px = 480;

std::string count_of(size_t count, const char* noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
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
    caption += fmt::format(", joints moved {:.1f} px (most {:.0f})", mean_move_px, worst_move_px);
  }
  if (removed > 0) caption += ", " + count_of(removed, "duplicate") + " removed";
  return caption;
}

PictureChange change_of(std::span<const PosePair> people) {
  PictureChange change;
  for (const bool kept : {true, false}) {
    for (const PosePair& person : people) {
      if ((person.after != nullptr) != kept) continue;
      const int color = static_cast<int>(change.before.size());
      change.before.push_back({*person.before, color, kept ? "" : "duplicate"});
      if (!kept) {
        ++change.removed;
        continue;
      }
      pose::Keypoints after = *person.after;
      for (size_t joint = 0; joint < after.size(); ++joint) after[joint].score = person.before->at(joint).score;
      change.after.push_back({std::move(after), color, ""});
    }
  }
  measure_moves(change);
  return change;
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

}  // namespace posefix::report
