#include "evaluate/pckh.h"

#include <cmath>
#include <limits>

#include "base/error.h"

namespace posefix::evaluate {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// Joints of the trunk that MPII's mean leaves out.
std::vector<char> counts_in_mean(const pose::Skeleton& skeleton) {
  std::vector<char> counts;
  for (const std::string& joint : skeleton.joints) counts.push_back(joint != "pelvis" && joint != "thorax");
  return counts;
}

double joint_value(const PckhFigures& figures, const pose::Skeleton& skeleton, const std::string& joint) {
  const int index = skeleton.find(joint);
  return index < 0 ? kNone : figures.per_joint[static_cast<size_t>(index)];
}

}  // namespace

double head_size_of_box(double width, double height) { return 0.6 * std::sqrt(width * width + height * height); }

PckhFigures pckh(const std::vector<PckhPerson>& people, const pose::Skeleton& skeleton, double threshold) {
  const auto joints = static_cast<size_t>(skeleton.size());
  std::vector<size_t> hits(joints, 0);
  PckhFigures figures;
  figures.visible.assign(joints, 0);
  for (const PckhPerson& person : people) {
    PFX_CHECK(person.predicted.size() == joints && person.annotated.size() == joints);
    for (size_t j = 0; j < joints; ++j) {
      if (!(person.annotated[j].score > 0)) continue;
      ++figures.visible[j];
      const double dx = person.predicted[j].x - person.annotated[j].x;
      const double dy = person.predicted[j].y - person.annotated[j].y;
      hits[j] += std::sqrt(dx * dx + dy * dy) / person.head_size <= threshold;
    }
  }
  const std::vector<char> counts = counts_in_mean(skeleton);
  size_t all_hits = 0;
  size_t all_visible = 0;
  for (size_t j = 0; j < joints; ++j) {
    figures.per_joint.push_back(figures.visible[j] == 0
                                    ? kNone
                                    : 100.0 * static_cast<double>(hits[j]) / static_cast<double>(figures.visible[j]));
    if (!counts[j]) continue;
    all_hits += hits[j];
    all_visible += figures.visible[j];
  }
  figures.mean = all_visible == 0 ? kNone : 100.0 * static_cast<double>(all_hits) / static_cast<double>(all_visible);
  return figures;
}

PckhCurve pckh_curve(const std::vector<PckhPerson>& people, const pose::Skeleton& skeleton) {
  PckhCurve curve;
  for (int i = 0; i < kPckhCurvePoints; ++i) {
    curve.mean[static_cast<size_t>(i)] = pckh(people, skeleton, i * 0.01).mean;
    curve.area += curve.mean[static_cast<size_t>(i)] / kPckhCurvePoints;
  }
  return curve;
}

std::vector<PckhGroup> pckh_groups(const PckhFigures& figures, const pose::Skeleton& skeleton) {
  std::vector<PckhGroup> groups{{"Head", joint_value(figures, skeleton, "head_top")}};
  constexpr std::array<std::pair<const char*, const char*>, 6> kSided{{{"Shoulder", "shoulder"},
                                                                       {"Elbow", "elbow"},
                                                                       {"Wrist", "wrist"},
                                                                       {"Hip", "hip"},
                                                                       {"Knee", "knee"},
                                                                       {"Ankle", "ankle"}}};
  for (const auto& [name, joint] : kSided) {
    const double left = joint_value(figures, skeleton, std::string("left_") + joint);
    const double right = joint_value(figures, skeleton, std::string("right_") + joint);
    groups.push_back({name, 0.5 * (left + right)});
  }
  return groups;
}

}  // namespace posefix::evaluate
