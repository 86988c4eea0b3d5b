// Greedy matching of detections to annotations of one picture and one category, as COCO does it.
//
// Source: pycocotools COCOeval.computeOks, evaluateImg (Lin et al.); rules in tests/golden/evaluate/README.md.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "dataset/coco_annotations.h"

namespace posefix::evaluate {

inline constexpr int kThresholds = 10;         // OKS 0.50, 0.55, ... 0.95
inline constexpr int kAreas = 3;               // all, medium, large
inline constexpr size_t kMostDetections = 20;  // of a picture

// numpy.linspace(0.5, 0.95, 10).
const std::array<double, kThresholds>& oks_thresholds();

struct AreaRange {
  double low;   // px^2, inclusive
  double high;  // px^2, inclusive
};
inline constexpr std::array<AreaRange, kAreas> kAreaRanges{{{0, 1e10}, {1024, 9216}, {9216, 1e10}}};

// An annotation ready for matching. Each joint has a range of places that are at distance 0: the annotated point; of an
// annotation without any labelled joint, its box grown to three times its size.
struct MatchTarget {
  int64_t id = 0;
  std::vector<double> x_low, x_high, y_low, y_high;  // [K] image_px; at kUnlabelled_px for joints that do not count
  std::vector<uint32_t> counted;                     // joints that OKS is the mean over
  double area = 0;
  bool iscrowd = false;
  bool ignored = false;  // crowd, or num_keypoints 0
};

inline constexpr uint16_t kEveryThreshold = (1U << kThresholds) - 1;

// What became of one detection, a bit per threshold (bit 0: 0.50), for each area range.
struct MatchOutcome {
  std::array<uint16_t, kAreas> matched{};
  std::array<uint16_t, kAreas> ignored{};
};

// Everything about a group, for reports and tests; area range "all".
struct GroupMatches {
  int64_t image_id = 0;
  int64_t category_id = 0;
  std::vector<size_t> detections;                       // positions in Detections, by descending score
  std::vector<int64_t> targets;                         // annotation ids, not ignored ones first
  std::vector<char> target_ignored;                     // of `targets`
  std::array<std::vector<int64_t>, kThresholds> match;  // [D] annotation id, 0 = none (or the annotation's id is 0)
  std::array<std::vector<char>, kThresholds> ignored;   // [D]
  std::vector<double> oks;                              // [D][G], G in file order
};

class OksMatcher {
 public:
  explicit OksMatcher(std::span<const double> sigmas);

  struct Candidate {
    const double* pose;  // x[K], y[K]
    double area;
  };
  // `candidates` by descending score, at most kMostDetections. `outcomes` has their size. `details` may be null.
  void match(std::span<const Candidate> candidates, std::span<const MatchTarget> targets,
             std::span<MatchOutcome> outcomes, GroupMatches* details);

  // Joints without a sigma are slots that no data set fills and do not count.
  MatchTarget target_of(const dataset::Annotation& annotation) const;

  // OKS of a pose with an annotation. Unless `exact`, a value below 0.5 may be returned as 0.
  double oks(const double* pose, const MatchTarget& target, bool exact) const;

 private:
  void match_area(std::span<const Candidate> candidates, std::span<const MatchTarget> targets, size_t area,
                  std::span<MatchOutcome> outcomes, GroupMatches* details);
  // Of the area whose targets stand in order_.
  void match_threshold(std::span<const MatchTarget> targets, size_t area, size_t t, std::span<MatchOutcome> outcomes,
                       GroupMatches* details);

  std::vector<double> variances_;  // (2 sigma)^2
  std::vector<double> inverse_;    // 1 / variances_; 0 without a sigma
  std::vector<double> oks_;        // [D][G]
  std::vector<double> best_;       // [D]
  std::vector<size_t> active_;     // candidates that can match at the lowest threshold
  std::vector<size_t> order_;      // targets, not ignored ones first
  std::vector<char> ignored_;      // by position in order_
  std::vector<char> taken_;        // by position in order_
};

}  // namespace posefix::evaluate
