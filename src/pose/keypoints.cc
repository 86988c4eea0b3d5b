#include "pose/keypoints.h"

#include <algorithm>
#include <limits>

namespace posefix::pose {
namespace {

// [low, high] -> start and length after growing about the middle.
void grow(double low, double high, double growth, double& start, double& length) {
  constexpr double kDegenerateSide_px = 20;
  const double side = high > low ? high - low : kDegenerateSide_px;
  const double middle = (low + high) / 2;
  length = side * growth;
  start = middle - length / 2;
}

}  // namespace

Box box_of_joints(const Keypoints& keypoints, const std::vector<int>& ignored, double growth) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double x0 = kInfinity, y0 = kInfinity, x1 = -kInfinity, y1 = -kInfinity;
  for (size_t j = 0; j < keypoints.size(); ++j) {
    if (std::find(ignored.begin(), ignored.end(), static_cast<int>(j)) != ignored.end()) continue;
    x0 = std::min(x0, keypoints[j].x);
    y0 = std::min(y0, keypoints[j].y);
    x1 = std::max(x1, keypoints[j].x);
    y1 = std::max(y1, keypoints[j].y);
  }
  if (x1 < x0) return {};
  Box box;
  grow(x0, x1, growth, box.x, box.w);
  grow(y0, y1, growth, box.y, box.h);
  return box;
}

double box_iou(const Box& a, const Box& b) {
  const double w = std::min(a.x + a.w, b.x + b.w) - std::max(a.x, b.x);
  const double h = std::min(a.y + a.h, b.y + b.h) - std::max(a.y, b.y);
  if (!(w > 0) || !(h > 0)) return 0;
  const double intersection = w * h;
  return intersection / (a.w * a.h + b.w * b.h - intersection);
}

}  // namespace posefix::pose
