// How a convolution is computed where there are several ways: what the cpu backend's rule takes, or what
// `compile --tune` found fastest on one CPU and stored in the plan.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace posefix::plan {

// Values are part of the file format: append, never renumber.
enum class Method : uint32_t {
  kOneDnn = 1,          // the library's direct convolution, or what it has instead
  kOneDnnWinograd = 2,  // 3x3, stride 1
  kOwnPointwise = 3,    // 1x1, stride 1: one product
  kOwnWinograd = 4,     // 3x3 with stride 1 or 2, or the four 2x2 phases of a transposed 4x4 with stride 2
};

struct Choice {
  Method method = Method::kOneDnn;
  uint32_t tile_height = 0;  // results of a tile; kOwnWinograd alone
  uint32_t tile_width = 0;

  bool operator==(const Choice&) const = default;
};

// "onednn", "onednn_winograd", "own_1x1", "own_winograd_4x3"; "" for a method that is not known.
std::string choice_name(const Choice& choice);

struct StepChoice {
  int32_t step = 0;  // index in Plan::steps
  Choice choice;
};

// What is fastest in sessions that are opened for `batch` persons. Steps that are not named follow the rule.
struct Tuning {
  int64_t batch = 1;
  int32_t threads = 1;  // that it was measured with
  std::vector<StepChoice> choices;
};

}  // namespace posefix::plan
