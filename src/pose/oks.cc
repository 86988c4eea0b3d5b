#include "pose/oks.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"

namespace posefix::pose {

namespace {

// From here on exp(-e) is 0 in a double, and the library takes its slow path to say so.
constexpr double kVanishes = 746;

struct Joint {
  size_t index;
  double variance;  // (2 sigma)^2
};

std::vector<Joint> joints_with_sigma(std::span<const double> sigmas) {
  std::vector<Joint> joints;
  for (size_t j = 0; j < sigmas.size(); ++j) {
    if (sigmas[j] != 0) joints.push_back({j, (sigmas[j] * 2) * (sigmas[j] * 2)});
  }
  return joints;
}

// OKS, or 0 as soon as it is certain not to be above `floor`: most pairs of a picture are far apart, and two or three
// joints tell.
double similarity(const Keypoints& a, const Keypoints& b, double area_a, double area_b, std::span<const Joint> joints,
                  double floor) {
  const double area = (area_a + area_b) / 2 + std::numeric_limits<double>::epsilon();
  const auto count = static_cast<double>(joints.size());
  const double needed = floor * count - 1e-9;  // the margin is far above the rounding of the sum
  double sum = 0;
  double left = count;  // what the joints still to come add at most
  for (const auto& [j, variance] : joints) {
    const double dx = a[j].x - b[j].x;
    const double dy = a[j].y - b[j].y;
    const double e = (dx * dx + dy * dy) / variance / area / 2;
    if (e < kVanishes) sum += std::exp(-e);
    left -= 1;
    if (sum + left < needed) return 0;
  }
  return joints.empty() ? 0 : sum / count;
}

}  // namespace

double oks_similarity(const Keypoints& a, const Keypoints& b, double area_a, double area_b,
                      std::span<const double> sigmas) {
  PFX_CHECK(a.size() == b.size() && a.size() == sigmas.size());
  return similarity(a, b, area_a, area_b, joints_with_sigma(sigmas), 0);
}

std::vector<size_t> oks_nms(std::span<const NmsCandidate> candidates, std::span<const double> sigmas,
                            double threshold) {
  for (const NmsCandidate& candidate : candidates) PFX_CHECK(candidate.keypoints->size() == sigmas.size());
  const std::vector<Joint> joints = joints_with_sigma(sigmas);
  std::vector<size_t> order(candidates.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return candidates[a].score < candidates[b].score; });
  std::reverse(order.begin(), order.end());

  std::vector<size_t> kept;
  std::vector<char> dropped(candidates.size(), 0);
  for (size_t i = 0; i < order.size(); ++i) {
    if (dropped[order[i]]) continue;
    const NmsCandidate& best = candidates[order[i]];
    kept.push_back(order[i]);
    for (size_t k = i + 1; k < order.size(); ++k) {
      const NmsCandidate& other = candidates[order[k]];
      if (dropped[order[k]]) continue;
      dropped[order[k]] =
          similarity(*best.keypoints, *other.keypoints, best.area, other.area, joints, threshold) > threshold;
    }
  }
  return kept;
}

}  // namespace posefix::pose
