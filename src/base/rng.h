// Counter-based random numbers (Philox4x32-10).
//
// A generator is named, not advanced: Rng(seed, epoch, sample, stream) always yields the same sequence, so a
// result depends neither on the thread that computes it nor on how often training was interrupted.
// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. Checked in rng_test.cc
// against the known-answer vectors published with Random123.
#pragma once

#include <array>
#include <cstdint>

namespace posefix {

// One Philox4x32-10 block: 128 random bits for a 128-bit counter and a 64-bit key.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

class Rng {
 public:
  // `stream` separates independent uses within a sample (augmentation, pose errors, ...).
  Rng(uint64_t seed, uint32_t epoch, uint64_t sample, uint32_t stream = 0);

  uint32_t next_u32();
  uint64_t next_u64();
  double uniform();                         // [0, 1), 53 bits
  double uniform(double low, double high);  // [low, high)
  double normal();                          // N(0, 1), Box-Muller
  uint32_t below(uint32_t n);               // [0, n), unbiased; n > 0

 private:
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> counter_;
  std::array<uint32_t, 4> block_{};
  int next_ = 4;
};

}  // namespace posefix
