// Which person a sample of the run is: a function of (seed, sample index), computed epoch by epoch.
//
// Pictures are shuffled; the people of each `block_pictures` pictures in a row are shuffled among themselves, so that
// a picture is decoded once for all its people while the cache holds a block. 0 shuffles all people at once.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "dataset/training_people.h"

namespace posefix::sample {

class SampleOrder {
 public:
  SampleOrder(std::span<const dataset::Person> people, uint64_t seed, int64_t block_pictures);

  int64_t samples_per_epoch() const { return static_cast<int64_t>(picture_of_.size()); }
  // The permutation of one epoch: position -> person. Safe from many threads; the newest two are kept.
  std::shared_ptr<const std::vector<uint32_t>> epoch(uint32_t epoch);

 private:
  std::vector<uint32_t> shuffled(uint32_t epoch) const;

  uint64_t seed_;
  int64_t block_pictures_;
  std::vector<uint32_t> picture_of_;  // by person
  std::mutex mutex_;
  struct Kept {
    uint32_t epoch;
    std::shared_ptr<const std::vector<uint32_t>> order;
  };
  std::vector<Kept> kept_;
};

}  // namespace posefix::sample
