#include "evaluate/error_diagnosis.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>
#include <unordered_set>

namespace posefix::evaluate {
namespace {

using dataset::Annotation;
using dataset::CocoAnnotations;

constexpr double kPairedOks = 0.1;
constexpr double kGoodSimilarity = 0.85;
constexpr double kNearSimilarity = 0.5;

// The annotation a detection is paired with, and how well.
struct Pair {
  const Annotation* annotation = nullptr;
  double oks = 0;
};

class Diagnosis {
 public:
  Diagnosis(const CocoAnnotations& annotations, const Detections& detections, const pose::Skeleton& skeleton,
            ThreadPool& pool)
      : annotations_(annotations),
        detections_(detections),
        skeleton_(skeleton),
        pool_(pool),
        mirror_(skeleton.flip_permutation()),
        matches_(match(annotations, detections, skeleton.sigmas, pool, true)),
        joints_(static_cast<size_t>(skeleton.size())) {
    for (const Annotation& annotation : annotations.annotations) people_[annotation.image_id].push_back(&annotation);
    pair_detections();
    classify();
  }

  ErrorDiagnosis run() {
    ErrorDiagnosis out;
    out.ap = figures(matches_).figures.ap;
    for (const JointState state : states_) ++out.joints[static_cast<size_t>(state)];
    out.joints[static_cast<size_t>(JointState::kGood)] -= unpaired_joints_;
    for (size_t kind = 1; kind < kJointStates.size(); ++kind) {
      out.cost[kind] = ap_of(annotations_, corrected(static_cast<JointState>(kind))) - out.ap;
    }
    out.score_cost = ap_of(annotations_, rescored()) - out.ap;
    without_false_ones(out);
    return out;
  }

 private:
  double similarity(const double* pose, size_t j, const Annotation& annotation, size_t place, double area) const {
    if (!(annotation.keypoints[place].score > 0)) return 0;
    const double dx = pose[j] - annotation.keypoints[place].x;
    const double dy = pose[joints_ + j] - annotation.keypoints[place].y;
    const double variance =
        4 * skeleton_.sigmas[j] * skeleton_.sigmas[j] * (area + std::numeric_limits<double>::epsilon());
    return std::exp(-(dx * dx + dy * dy) / (2 * variance));
  }

  void pair_detections() {
    pairs_.resize(detections_.size());
    for (const GroupMatches& group : matches_.groups) {
      std::vector<const Annotation*> members;  // file order, as group.oks
      const auto people = people_.find(group.image_id);
      if (people == people_.end()) continue;
      for (const Annotation* annotation : people->second) {
        if (annotation->category_id == group.category_id) members.push_back(annotation);
      }
      for (size_t d = 0; d < group.detections.size(); ++d) {
        Pair& pair = pairs_[group.detections[d]];
        for (size_t g = 0; g < members.size(); ++g) {
          const double oks = group.oks[d * members.size() + g];
          if (members[g]->iscrowd || members[g]->num_keypoints == 0 || oks < kPairedOks || oks <= pair.oks) continue;
          pair = {members[g], oks};
        }
      }
    }
  }

  JointState state_of(const double* pose, size_t j, const Annotation& own) const {
    const auto mirror = static_cast<size_t>(mirror_[j]);
    const double here = similarity(pose, j, own, j, own.area);
    if (here >= kGoodSimilarity) return JointState::kGood;
    if (here >= kNearSimilarity) return JointState::kJitter;
    if (mirror != j && similarity(pose, j, own, mirror, own.area) >= kNearSimilarity) return JointState::kInversion;
    for (const Annotation* other : people_.at(own.image_id)) {
      if (other == &own) continue;
      if (similarity(pose, j, *other, j, own.area) >= kNearSimilarity ||
          similarity(pose, j, *other, mirror, own.area) >= kNearSimilarity) {
        return JointState::kSwap;
      }
    }
    return JointState::kMiss;
  }

  void classify() {
    states_.assign(detections_.size() * joints_, JointState::kGood);
    for (size_t i = 0; i < detections_.size(); ++i) {
      const Annotation* own = pairs_[i].annotation;
      for (size_t j = 0; j < joints_; ++j) {
        if (own == nullptr || !(own->keypoints[j].score > 0)) {
          ++unpaired_joints_;
          continue;
        }
        states_[i * joints_ + j] = state_of(detections_.pose[i], j, *own);
      }
    }
  }

  // Without poses; the arrays that all variants share.
  Detections copy_without_poses() const {
    Detections copy;
    copy.path = detections_.path;
    copy.joints = detections_.joints;
    copy.image_id = detections_.image_id;
    copy.category_id = detections_.category_id;
    copy.score = detections_.score;
    copy.area = detections_.area;
    copy.pose = detections_.pose;
    return copy;
  }

  Detections corrected(JointState kind) const {
    Detections copy = copy_without_poses();
    for (size_t i = 0; i < detections_.size(); ++i) {
      const JointState* states = &states_[i * joints_];
      if (std::find(states, states + joints_, kind) == states + joints_) continue;
      copy.blocks.push_back(std::make_unique_for_overwrite<double[]>(2 * joints_));
      double* pose = copy.blocks.back().get();
      std::copy(detections_.pose[i], detections_.pose[i] + 2 * joints_, pose);
      for (size_t j = 0; j < joints_; ++j) {
        if (states[j] != kind) continue;
        pose[j] = pairs_[i].annotation->keypoints[j].x;
        pose[joints_ + j] = pairs_[i].annotation->keypoints[j].y;
      }
      copy.pose[i] = pose;
    }
    return copy;
  }

  Detections rescored() const {
    Detections copy = copy_without_poses();
    for (size_t i = 0; i < pairs_.size(); ++i) copy.score[i] = pairs_[i].oks;
    return copy;
  }

  double ap_of(const CocoAnnotations& annotations, const Detections& detections) const {
    return figures(match(annotations, detections, skeleton_.sigmas, pool_)).figures.ap;
  }

  void without_false_ones(ErrorDiagnosis& out) const {
    std::unordered_set<int64_t> found;
    std::vector<char> is_false(detections_.size(), 0);
    for (const GroupMatches& group : matches_.groups) {
      for (size_t d = 0; d < group.detections.size(); ++d) {
        const int64_t matched = group.match[0][d];
        if (matched != 0) found.insert(matched);
        is_false[group.detections[d]] = matched == 0 && !group.ignored[0][d];
      }
    }
    Detections kept;
    kept.path = detections_.path;
    kept.joints = detections_.joints;
    for (size_t i = 0; i < detections_.size(); ++i) {
      out.false_positives += is_false[i];
      if (is_false[i]) continue;
      kept.image_id.push_back(detections_.image_id[i]);
      kept.category_id.push_back(detections_.category_id[i]);
      kept.score.push_back(detections_.score[i]);
      kept.area.push_back(detections_.area[i]);
      kept.pose.push_back(detections_.pose[i]);
    }
    out.false_positive_cost = ap_of(annotations_, kept) - out.ap;
    CocoAnnotations fewer = annotations_;
    std::erase_if(fewer.annotations, [&](const Annotation& annotation) {
      const bool counts = !annotation.iscrowd && annotation.num_keypoints > 0;
      return counts && found.count(annotation.id) == 0;
    });
    out.false_negatives = annotations_.annotations.size() - fewer.annotations.size();
    out.false_negative_cost = ap_of(fewer, detections_) - out.ap;
  }

  const CocoAnnotations& annotations_;
  const Detections& detections_;
  const pose::Skeleton& skeleton_;
  ThreadPool& pool_;
  std::vector<int> mirror_;
  Matches matches_;
  size_t joints_;
  std::unordered_map<int64_t, std::vector<const Annotation*>> people_;
  std::vector<Pair> pairs_;         // [detections]
  std::vector<JointState> states_;  // [detections][K]
  size_t unpaired_joints_ = 0;
};

}  // namespace

ErrorDiagnosis diagnose_errors(const CocoAnnotations& annotations, const Detections& detections,
                               const pose::Skeleton& skeleton, ThreadPool& pool) {
  return Diagnosis(annotations, detections, skeleton, pool).run();
}

}  // namespace posefix::evaluate
