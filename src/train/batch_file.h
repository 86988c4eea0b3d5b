// A batch kept beside a state, so that a step that failed can be run again.
#pragma once

#include "sample/sample.h"
#include "tensorfile/snapshot.h"

namespace posefix::train {

// As "train/batch/crops" and so on in the snapshot's state; and back: Error (bad input) names what is missing.
void store_batch(const sample::Batch& batch, tensorfile::Snapshot& snapshot);
sample::Batch load_batch(const tensorfile::Snapshot& snapshot, const std::string& source);

}  // namespace posefix::train
