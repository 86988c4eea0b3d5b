// The texts of joint_sets/*.yaml, compiled in so that the program needs no data folder. Used by joint_names.cc alone.
#pragma once

#include <span>
#include <string_view>

namespace posefix::dataset::formats {

struct JointSetText {
  std::string_view name;
  std::string_view yaml;
};

std::span<const JointSetText> joint_set_texts();

}  // namespace posefix::dataset::formats
