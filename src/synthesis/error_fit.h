// Measures the errors of an estimator on annotated people: the table that pose_errors.h draws from.
//
// Every labelled joint that the estimator found is good, jitter, inversion, swap or miss by the definitions in
// error_model.h, in that order. Rates are those of a choice among the kinds that a joint could show at all (no
// inversion without a labelled mirror joint, no swap without other people), the most likely ones given the counts.
// Distances are quantiles from the place that the kind belongs to.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "pose/keypoints.h"
#include "pose/skeleton.h"
#include "synthesis/error_model.h"

namespace posefix::synthesis {

struct ObservedPerson {
  std::span<const pose::Keypoint> gt;        // [K] score = visibility
  std::span<const pose::Keypoint> detected;  // [K] score <= 0: the estimator gave no place
  std::span<const pose::Keypoints> near;     // overlapping people's annotations
  double area = 0;                           // of the box, px^2
};

// What one joint of one observed person is. `distance` in units of u; nothing when not labelled or not found.
struct JointObservation {
  bool counted = false;
  bool can_invert = false;
  bool can_swap = false;
  ErrorKind kind = ErrorKind::kGood;
  double distance = 0;
};
JointObservation observe_joint(const ObservedPerson& person, const pose::Skeleton& skeleton, size_t joint,
                               std::span<const int> partner);

class ErrorFit {
 public:
  explicit ErrorFit(const pose::Skeleton& skeleton);

  void add(const ObservedPerson& person);
  // A table by the rule kZones. A cell (number of valid joints, overlap) with fewer than `cell_minimum` observations of
  // a joint gets the joint's rates over all cells.
  ErrorModel model(int cell_minimum = 200) const;

  struct JointSummary {
    int64_t labelled = 0;
    int64_t not_found = 0;
    std::array<int64_t, kErrorKinds> count{};  // by kind
    int64_t could_invert = 0;
    int64_t could_swap = 0;
  };
  const std::vector<JointSummary>& summary() const { return summary_; }

 private:
  // Counts of one joint: [could invert][could swap][kind].
  using Counts = std::array<std::array<std::array<int64_t, kErrorKinds>, 2>, 2>;
  struct JointData {
    std::vector<Counts> cells;
    std::array<std::vector<double>, kErrorKinds> distances;
  };
  static ErrorRates rates_of(const Counts& counts);

  pose::Skeleton skeleton_;
  std::vector<int> partner_;
  ErrorModel shape_;  // limits only
  std::vector<JointData> joints_;
  std::vector<JointSummary> summary_;
};

// Pairs of annotated people and detections of one picture: detections by descending score, each to the free person
// with the greatest similarity, which must be 0.2 or more; similarity is the OKS over labelled joints or the IoU of
// the boxes, whichever is greater.
struct Detection {
  const pose::Keypoints* keypoints;  // borrowed
  pose::Box box;
  double score;
};
struct Annotated {
  const pose::Keypoints* keypoints;  // borrowed
  pose::Box box;
};
// For each person the index of the detection, -1 if none.
std::vector<int> match_people(std::span<const Annotated> people, std::span<const Detection> detections,
                              const pose::Skeleton& skeleton);

}  // namespace posefix::synthesis
