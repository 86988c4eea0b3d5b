// Poses painted on pictures, and panels that put "before" beside "after".
//
// Everything is anti-aliased and scaled to the picture. Joints off the picture or with non-finite coordinates are
// cut off or left out, never an error. Text is ASCII; other characters are shown as '?'.
// Not for: charts (report/), interactive display.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "image/image.h"
#include "pose/keypoints.h"
#include "pose/skeleton.h"

namespace posefix::image {

struct DrawnPerson {
  pose::Keypoints keypoints;  // [K], image_px; joints with score <= DrawStyle::min_score are left out
  int color = 0;              // persons of equal number share their colours, in any picture
  std::string label;          // written at the topmost joint, "" for none
};

struct DrawStyle {
  double min_score = 0;
  double line_px = 0;      // width of a limb; 0: from the picture's size
  bool show_moves = true;  // side_by_side: on the right, a thin line from where a joint was
};

// Limbs and joints; the left side, the right side and the middle of a person have different colours.
// Error (bad input) if a person's joint count is not the skeleton's.
void draw_person(Image& image, const pose::Skeleton& skeleton, const DrawnPerson& person, const DrawStyle& style = {});

// `before` on the left, `after` on the right, each under a strip with its caption. Persons at the same index in both
// lists are the same person.
Image side_by_side(const Image& picture, const pose::Skeleton& skeleton, std::span<const DrawnPerson> before,
                   std::span<const DrawnPerson> after, const std::string& caption_before,
                   const std::string& caption_after, const DrawStyle& style = {});

// Scaled to the given width, by area averaging when it shrinks. Height at least 1.
Image resized(const Image& image, int width);

}  // namespace posefix::image
