// Joints, boxes and persons in the picture's frame. Pixel centres are at integers; (0,0) is the centre of the first.
#pragma once

#include <vector>

namespace posefix::pose {

struct Keypoint {
  double x = 0;      // image_px unless a name says otherwise
  double y = 0;      //
  double score = 0;  // estimator's confidence, or COCO's visibility flag v (0 absent, 1 occluded, 2 visible)
};

using Keypoints = std::vector<Keypoint>;  // [K]

struct Box {
  double x = 0;  // left, image_px
  double y = 0;  // top
  double w = 0;
  double h = 0;
};

// Extent of all joints except `ignored`, grown by `growth` about its middle; a side of zero length becomes
// 20 px before it grows. Source: PoseFix_RELEASE main/test.py.
Box box_of_joints(const Keypoints& keypoints, const std::vector<int>& ignored, double growth = 1.2);

// Intersection over union; 0 for empty boxes.
double box_iou(const Box& a, const Box& b);

}  // namespace posefix::pose
