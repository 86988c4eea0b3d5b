// Ranges of a map, from a histogram of |value|.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace posefix::compiler {

inline constexpr size_t kRanges = 3;
inline constexpr std::array<std::string_view, kRanges> kRangeNames{"largest", "percentile", "mean square"};
using Ranges = std::array<double, kRanges>;  // in the order of the names; 0: the map is all zeros

// 2048 bins over [0, limit]; the limit doubles, and bins merge in pairs, when a larger value comes.
class MagnitudeHistogram {
 public:
  // Values that are no numbers count as 0.
  void add(std::span<const float> values);
  // `codes`: the largest code, 127 or 255.
  Ranges ranges(double codes) const;

 private:
  void make_room(double value);
  double percentile(double fraction) const;
  double mean_square_range(double codes) const;

  std::vector<uint64_t> bins_;
  double limit_ = 0;
  double largest_ = 0;
  uint64_t count_ = 0;
};

}  // namespace posefix::compiler
