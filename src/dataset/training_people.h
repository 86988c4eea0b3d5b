// The people to train on: annotations that are kept, their cleaned boxes, the estimator's pose of each and the people
// near them.
//
// Source: PoseFix_RELEASE lib/tfflat/base.py, data/*/dataset.py.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "dataset/coco_annotations.h"
#include "dataset/pose_results.h"
#include "pose/keypoints.h"

namespace posefix::dataset {

struct Person {
  size_t image = 0;                          // position in CocoAnnotations::images
  size_t annotation = 0;                     // position in CocoAnnotations::annotations
  pose::Box bbox;                            // cleaned and clipped, image_px
  pose::Keypoints gt;                        // [K], score = visibility flag v
  std::optional<pose::Keypoints> estimated;  // [K], score > 0 where the estimator found the joint
  std::vector<size_t> near;                  // other people of the same picture, positions in the list of people
};

// x1 = max(0,x), y1 = max(0,y), x2 = min(W-1, x1 + max(0,w-1)), y2 likewise -> (x1, y1, x2-x1, y2-y1). A negative x
// does not shorten w. nullopt when nothing is left. An image without a size (width 0) does not clip.
std::optional<pose::Box> clean_box(const pose::Box& box, int image_width, int image_height);

// inter / (a + b - inter + 1e-5), the reference's IoU for matching boxes.
double training_iou(const pose::Box& a, const pose::Box& b);

// Annotations that are not crowds, have num_keypoints > 0, a labelled joint, area > 0 and a box of some size, in file
// order. `estimated` (train-set results with bbox) may be null: then no person has an estimate. Of the results of the
// same image the one with the greatest IoU is taken (the first on a tie; none if no result overlaps). `near`: box IoU
// of 0.1 or more.
std::vector<Person> training_people(const CocoAnnotations& annotations, const PoseResults* estimated);

}  // namespace posefix::dataset
