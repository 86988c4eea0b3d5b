// Input poses beside the results that were made from them, and how near both come to the annotated people.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "base/threads.h"
#include "dataset/coco_annotations.h"
#include "dataset/pose_results.h"
#include "evaluate/detections.h"

namespace posefix::report {

// For every entry of `before` the position of its result in `after`, none if it was removed. Results keep the order of
// their picture's entries, image_id, category_id and (to 4 decimals) the score. Error (bad input) names a result that
// no entry fits.
std::vector<std::optional<size_t>> pair_results(const dataset::PoseResults& before, const dataset::PoseResults& after);

struct PeopleFound {
  size_t people = 0;    // annotated with joints, no crowds
  double mean_oks = 0;  // of every such person with the pose nearest to it; 0 for a person without any pose
};

// By image id, for pictures with annotated people. Error (bad input) as evaluate::match.
std::map<int64_t, PeopleFound> people_found(const dataset::CocoAnnotations& annotations,
                                            const evaluate::Detections& detections, std::span<const double> sigmas,
                                            ThreadPool& pool);

}  // namespace posefix::report
