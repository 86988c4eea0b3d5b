// What refinement did to a picture: poses to draw before and after, and the figures that say how much changed.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "image/draw.h"
#include "pose/keypoints.h"
#include "pose/skeleton.h"

namespace posefix::report {

// One person; borrowed, [K] image_px.
struct PosePair {
  const pose::Keypoints* before = nullptr;
  const pose::Keypoints* after = nullptr;  // null: removed as a duplicate
};

struct PictureChange {
  // The same person at the same index and in the same colour; people that were removed come last in `before` and are
  // missing in `after`. Joints carry the estimator's score on both sides: what it did not see is not drawn.
  std::vector<image::DrawnPerson> before;
  std::vector<image::DrawnPerson> after;
  size_t removed = 0;
  double mean_move_px = 0;  // over all joints with a score, of the people that were kept
  double worst_move_px = 0;

  std::string caption_before() const;  // "before: 3 poses"
  std::string caption_after() const;   // "after: 2 poses, joints moved 4.2 px (most 18), 1 duplicate removed"
};

PictureChange change_of(std::span<const PosePair> people);

// The panel: before on the left, after on the right, captions above; small pictures are enlarged so that it is
// readable.
image::Image before_after(const image::Image& picture, const pose::Skeleton& skeleton, const PictureChange& change);

}  // namespace posefix::report
