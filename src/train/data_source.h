// Where batches come from: the one thing the loop knows of data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sample/sample.h"

namespace posefix::train {

class DataSource {
 public:
  virtual ~DataSource() = default;
  virtual int64_t samples_per_epoch() const = 0;
  // Batches of the run's order, from the one of step `step` (from 0) on; may be called once.
  virtual void start(int64_t step) = 0;
  // The next batch; valid until the next call. Its contents depend on its place in the order alone.
  virtual const sample::Batch& next() = 0;
  // What a person should know since the last call, e.g. pictures that were skipped.
  virtual std::vector<std::string> take_reports() { return {}; }
};

}  // namespace posefix::train
