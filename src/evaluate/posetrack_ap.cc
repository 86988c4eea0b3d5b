#include "evaluate/posetrack_ap.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <unordered_map>

#include "base/error.h"
#include "evaluate/pckh.h"

namespace posefix::evaluate {
namespace {

using dataset::IgnoreRegion;
using dataset::PosetrackSequence;
using dataset::TrackedFrame;
using dataset::TrackedPerson;

constexpr size_t kJoints = kPosetrackJoints;
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// A person in the evaluation's joint order; joints that do not exist have exists false.
struct Pose {
  std::array<bool, kJoints> exists{};
  std::array<double, kJoints> x{}, y{}, score{};
  double head_size = 0;

  size_t joints() const { return static_cast<size_t>(std::count(exists.begin(), exists.end(), true)); }
};

// Slot in the file of each evaluated joint. The annotations call the neck head_bottom or neck.
std::array<size_t, kJoints> slots_of(const PosetrackSequence& sequence) {
  std::array<size_t, kJoints> slots{};
  for (size_t j = 0; j < kJoints; ++j) {
    const std::string name = posetrack_joints()[j];
    auto found = std::find(sequence.joints.begin(), sequence.joints.end(), name);
    if (found == sequence.joints.end() && name == "head_bottom") {
      found = std::find(sequence.joints.begin(), sequence.joints.end(), "neck");
    }
    if (found == sequence.joints.end()) {
      throw bad_input("{}: /categories/0/keypoints: no joint '{}', which PoseTrack evaluates", sequence.path, name);
    }
    slots[j] = static_cast<size_t>(found - sequence.joints.begin());
  }
  return slots;
}

Pose pose_of(const TrackedPerson& person, const std::array<size_t, kJoints>& slots) {
  constexpr double kNoScore = -9999;
  Pose pose;
  for (size_t j = 0; j < kJoints; ++j) {
    const pose::Keypoint& joint = person.keypoints[slots[j]];
    pose.exists[j] = joint.x != 0 || joint.y != 0 || joint.score != 0;
    pose.x[j] = joint.x;
    pose.y[j] = joint.y;
    pose.score[j] = person.scores.empty() ? kNoScore : person.scores[slots[j]];
  }
  return pose;
}

// Strictly inside: not on an edge. Even-odd rule.
bool is_inside(const IgnoreRegion& region, double px, double py) {
  bool inside = false;
  const size_t n = region.x.size();
  for (size_t i = 0, k = n - 1; i < n; k = i++) {
    const double ax = region.x[i], ay = region.y[i], bx = region.x[k], by = region.y[k];
    const double cross = (bx - ax) * (py - ay) - (by - ay) * (px - ax);
    if (cross == 0 && px >= std::min(ax, bx) && px <= std::max(ax, bx) && py >= std::min(ay, by) &&
        py <= std::max(ay, by)) {
      return false;
    }
    if ((ay > py) != (by > py) && px < (bx - ax) * (py - ay) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}

// Removes joints inside ignore regions, and people left without joints.
void remove_ignored(std::vector<Pose>& people, const std::vector<IgnoreRegion>& regions) {
  if (regions.empty()) return;
  for (Pose& pose : people) {
    for (size_t j = 0; j < kJoints; ++j) {
      if (!pose.exists[j]) continue;
      pose.exists[j] = std::none_of(regions.begin(), regions.end(), [&](const IgnoreRegion& region) {
        return is_inside(region, pose.x[j], pose.y[j]);
      });
    }
  }
  std::erase_if(people, [](const Pose& pose) { return pose.joints() == 0; });
}

bool matches(const Pose& predicted, const Pose& annotated, size_t j) {
  if (!predicted.exists[j] || !annotated.exists[j]) return false;
  const double dx = predicted.x[j] - annotated.x[j];
  const double dy = predicted.y[j] - annotated.y[j];
  return std::sqrt(dx * dx + dy * dy) / annotated.head_size <= 0.5;
}

double share_matched(const Pose& predicted, const Pose& annotated) {
  size_t count = 0;
  for (size_t j = 0; j < kJoints; ++j) count += matches(predicted, annotated, j);
  const size_t joints = annotated.joints();
  return joints == 0 ? 0 : static_cast<double>(count) / static_cast<double>(joints);
}

// For each prediction the annotated person it is assigned to: every prediction keeps only its best one, then every
// annotated person takes its best prediction.
std::vector<std::optional<size_t>> assign(const std::vector<Pose>& predicted, const std::vector<Pose>& annotated) {
  std::vector<std::optional<size_t>> assigned(predicted.size());
  std::vector<double> best_share(annotated.size(), 0);
  std::vector<std::optional<size_t>> best_prediction(annotated.size());
  for (size_t p = 0; p < predicted.size(); ++p) {
    size_t best = 0;
    double share = -1;
    for (size_t g = 0; g < annotated.size(); ++g) {
      const double value = share_matched(predicted[p], annotated[g]);
      if (value > share) {
        share = value;
        best = g;
      }
    }
    if (share > 0 && share > best_share[best]) {
      best_share[best] = share;
      best_prediction[best] = p;
    }
  }
  for (size_t g = 0; g < annotated.size(); ++g) {
    if (best_prediction[g]) assigned[*best_prediction[g]] = g;
  }
  return assigned;
}

struct Scored {
  double score;
  bool matched;
};

// All predictions of one joint.
struct JointTally {
  std::vector<Scored> scored;
  size_t annotated = 0;
};

using Tally = std::array<JointTally, kJoints>;

void add_frame(const std::vector<Pose>& predicted, const std::vector<Pose>& annotated, Tally& tally) {
  const std::vector<std::optional<size_t>> assigned = assign(predicted, annotated);
  for (size_t j = 0; j < kJoints; ++j) {
    for (const Pose& person : annotated) tally[j].annotated += person.exists[j];
    for (size_t p = 0; p < predicted.size(); ++p) {
      if (!predicted[p].exists[j]) continue;
      tally[j].scored.push_back(
          {predicted[p].score[j], assigned[p] && matches(predicted[p], annotated[*assigned[p]], j)});
    }
  }
}

// Area under the precision envelope at the steps of recall (VOC 2010).
double average_precision(const std::vector<double>& recall, std::vector<double> precision) {
  for (size_t i = precision.size(); i-- > 1;) precision[i - 1] = std::max(precision[i - 1], precision[i]);
  double area = 0;
  double before = 0;
  for (size_t i = 0; i < recall.size(); ++i) {
    area += (recall[i] - before) * precision[i];
    before = recall[i];
  }
  return area;
}

PosetrackJointFigures figures_of(JointTally& tally) {
  PosetrackJointFigures figures;
  figures.annotated = tally.annotated;
  figures.predicted = tally.scored.size();
  if (tally.scored.empty()) return figures;
  std::stable_sort(tally.scored.begin(), tally.scored.end(),
                   [](const Scored& a, const Scored& b) { return a.score > b.score; });
  std::vector<double> recall, precision;
  for (size_t i = 0; i < tally.scored.size(); ++i) {
    figures.matched += tally.scored[i].matched;
    precision.push_back(static_cast<double>(figures.matched) / static_cast<double>(i + 1));
    recall.push_back(static_cast<double>(figures.matched) / static_cast<double>(tally.annotated));
  }
  figures.precision = 100 * precision.back();
  if (tally.annotated == 0) {
    figures.ap = figures.recall = kNone;
    return figures;
  }
  figures.recall = 100 * recall.back();
  figures.ap = 100 * average_precision(recall, precision);
  return figures;
}

double mean_of(const std::array<PosetrackJointFigures, kJoints>& joints, double PosetrackJointFigures::*member) {
  double sum = 0;
  int count = 0;
  for (const PosetrackJointFigures& joint : joints) {
    if (std::isnan(joint.*member)) continue;
    sum += joint.*member;
    ++count;
  }
  return count == 0 ? kNone : sum / count;
}

void add_video(const PosetrackPair& video, Tally& tally, size_t& frames) {
  const std::array<size_t, kJoints> annotated_slots = slots_of(*video.annotated);
  const std::array<size_t, kJoints> predicted_slots = slots_of(*video.predicted);
  std::unordered_map<int64_t, const TrackedFrame*> predictions;
  for (const TrackedFrame& frame : video.predicted->frames) predictions[frame.image_id] = &frame;
  for (const TrackedFrame& frame : video.annotated->frames) {
    const auto found = predictions.find(frame.image_id);
    const TrackedFrame* prediction = found == predictions.end() ? nullptr : found->second;
    if (found != predictions.end()) predictions.erase(found);
    if (frame.people.empty()) continue;
    ++frames;
    std::vector<Pose> annotated, predicted;
    for (const TrackedPerson& person : frame.people) {
      if (!person.head) {
        throw bad_input("{}: /annotations/{}: field 'bbox_head' is missing; distances are measured in head sizes",
                        video.annotated->path, person.index);
      }
      annotated.push_back(pose_of(person, annotated_slots));
      annotated.back().head_size = head_size_of_box(person.head->w, person.head->h);
    }
    if (prediction != nullptr) {
      for (const TrackedPerson& person : prediction->people) predicted.push_back(pose_of(person, predicted_slots));
    }
    remove_ignored(annotated, frame.ignore_regions);
    remove_ignored(predicted, frame.ignore_regions);
    add_frame(predicted, annotated, tally);
  }
  if (!predictions.empty()) {
    throw bad_input("{}: image {} is not in {}", video.predicted->path, predictions.begin()->first,
                    video.annotated->path);
  }
}

}  // namespace

const std::array<const char*, kPosetrackJoints>& posetrack_joints() {
  static constexpr std::array<const char*, kPosetrackJoints> kNames{
      "right_ankle", "right_knee",  "right_hip",   "left_hip",       "left_knee",
      "left_ankle",  "right_wrist", "right_elbow", "right_shoulder", "left_shoulder",
      "left_elbow",  "left_wrist",  "head_bottom", "nose",           "head_top"};
  return kNames;
}

PosetrackFigures posetrack_figures(const std::vector<PosetrackPair>& videos) {
  Tally tally;
  PosetrackFigures figures;
  for (const PosetrackPair& video : videos) add_video(video, tally, figures.frames);
  for (size_t j = 0; j < kJoints; ++j) figures.joints[j] = figures_of(tally[j]);
  figures.ap = mean_of(figures.joints, &PosetrackJointFigures::ap);
  figures.precision = mean_of(figures.joints, &PosetrackJointFigures::precision);
  figures.recall = mean_of(figures.joints, &PosetrackJointFigures::recall);
  return figures;
}

std::vector<PosetrackGroup> posetrack_groups(const PosetrackFigures& figures) {
  const auto mean = [&](std::initializer_list<size_t> joints) {
    double sum = 0;
    for (const size_t j : joints) sum += figures.joints[j].ap;
    return sum / static_cast<double>(joints.size());
  };
  return {{"Head", mean({12, 13, 14})}, {"Shou", mean({8, 9})}, {"Elb", mean({7, 10})}, {"Wri", mean({6, 11})},
          {"Hip", mean({2, 3})},        {"Knee", mean({1, 4})}, {"Ankl", mean({0, 5})}, {"Total", figures.ap}};
}

}  // namespace posefix::evaluate
