// COCO keypoint average precision and recall, identical to pycocotools.
//
// Two steps: match() decides for every detection what it matched at each threshold, which does not depend on other
// pictures; figures() sums that up over all pictures or over some of them, each counted as often as wanted.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/threads.h"
#include "dataset/coco_annotations.h"
#include "evaluate/detections.h"
#include "evaluate/oks_matcher.h"

namespace posefix::evaluate {

inline constexpr int kRecallPoints = 101;  // 0, 0.01, ... 1

// -1 where no annotation counts.
struct CocoFigures {
  double ap = -1, ap50 = -1, ap75 = -1, ap_medium = -1, ap_large = -1;
  double ar = -1, ar50 = -1, ar75 = -1, ar_medium = -1, ar_large = -1;
};

struct NamedFigure {
  const char* name;  // "AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL"
  double CocoFigures::*value;
};
inline constexpr std::array<NamedFigure, 10> kCocoFigures{{{"AP", &CocoFigures::ap},
                                                           {"AP50", &CocoFigures::ap50},
                                                           {"AP75", &CocoFigures::ap75},
                                                           {"APM", &CocoFigures::ap_medium},
                                                           {"APL", &CocoFigures::ap_large},
                                                           {"AR", &CocoFigures::ar},
                                                           {"AR50", &CocoFigures::ar50},
                                                           {"AR75", &CocoFigures::ar75},
                                                           {"ARM", &CocoFigures::ar_medium},
                                                           {"ARL", &CocoFigures::ar_large}}};

// The detections of one category that count (20 a picture), by descending score, of equal ones the lower image id
// first, then file order.
struct CategoryMatches {
  int64_t category_id = 0;
  std::vector<size_t> detection;  // position in Detections
  std::vector<uint32_t> image;    // position in Matches::image_ids
  std::vector<double> score;
  std::vector<MatchOutcome> outcome;
  // Annotations that count, per area range and image.
  std::array<std::vector<uint32_t>, kAreas> annotated;  // [A][images]
};

struct Matches {
  std::vector<int64_t> image_ids;  // ascending, every image of the annotation file
  std::vector<CategoryMatches> categories;
  std::vector<GroupMatches> groups;  // by category, then image; only when asked for
};

struct CocoCurves {
  CocoFigures figures;
  std::array<double, kThresholds> ap_per_threshold;  // area "all", mean over categories
  std::array<double, kThresholds> recall_per_threshold;
  // Precision at recall 0, 0.01, ... 1 for area "all"; mean over categories.
  std::array<std::array<double, kRecallPoints>, kThresholds> precision;
};

// Error (bad input) if a detection's picture is not in the annotations, an annotation id occurs twice, or joint counts
// differ. Detections of categories that the annotations do not list are left out. Sigmas: [K].
Matches match(const dataset::CocoAnnotations& annotations, const Detections& detections, std::span<const double> sigmas,
              ThreadPool& pool, bool keep_groups = false);

// `weights`, if not empty, says how often each image counts ([images], 0 = not at all).
CocoCurves figures(const Matches& matches, std::span<const uint32_t> weights = {});

}  // namespace posefix::evaluate
