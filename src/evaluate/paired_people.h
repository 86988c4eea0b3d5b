// Annotated people with the pose of each, for figures that need pairs of them (PCKh, PoseTrack).
#pragma once

#include <vector>

#include "dataset/coco_annotations.h"
#include "dataset/pose_results.h"
#include "dataset/posetrack_sequence.h"
#include "evaluate/pckh.h"

namespace posefix::evaluate {

// In every picture the pose and the person with the most joints within half a head size are paired first, then the
// next, of equal ones the nearer. A person without a pose misses every joint. Crowds and people without labelled joint
// are left out. Error (bad input) if a person has no head box or joint counts differ.
std::vector<PckhPerson> pair_people(const dataset::CocoAnnotations& annotations, const dataset::PoseResults& results,
                                    const pose::Skeleton& skeleton);

// COCO results as the predictions of a PoseTrack video: the entries of its pictures, numbered as tracks. Joints as the
// video's; `used` counts the entries taken.
dataset::PosetrackSequence sequence_of(const dataset::PoseResults& results, const dataset::PosetrackSequence& video,
                                       size_t* used);

}  // namespace posefix::evaluate
