// The texts of skeletons/*.yaml, compiled in so that the program needs no data folder. Used by skeleton.cc alone.
#pragma once

#include <span>
#include <string_view>

namespace posefix::pose {

struct ShippedSkeleton {
  std::string_view name;
  std::string_view yaml;
};

std::span<const ShippedSkeleton> shipped_skeleton_texts();

}  // namespace posefix::pose
