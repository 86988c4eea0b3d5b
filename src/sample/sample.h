// A batch of training samples, and the loader's contract.
#pragma once

#include <cstdint>
#include <vector>

namespace posefix::sample {

// B samples back to back. Coordinates are crop_px.
struct Batch {
  int64_t size = 0;                 // B
  int64_t first_sample = 0;         // index of the first one in the run's global order (step * batch size)
  std::vector<uint8_t> crops;       // [B,H,W,3] BGR
  std::vector<float> pose;          // [B,K,2] synthesised input pose
  std::vector<float> valid;         // [B,K]
  std::vector<float> target;        // [B,K,2]
  std::vector<float> target_valid;  // [B,K]
};

}  // namespace posefix::sample
