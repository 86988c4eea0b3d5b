// Joint names as people and programs write them, and the ones the skeletons use.
//
// "RAnkle", "r_ankle", "Right Ankle" and "ankle_right" all mean right_ankle. What a name means beyond its spelling
// (MidHip is the pelvis) is data: joint_sets/aliases.yaml. Joint lists of estimators are data too:
// joint_sets/NAME.yaml, compiled in.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace posefix::dataset::formats {

// The project's name of a joint: lower case, words joined by '_', the side first. A name that is not known keeps its
// words.
std::string joint_name(std::string_view text);

// The joints that one estimator writes, in its order.
struct JointSet {
  struct Middle {
    std::string joint;
    std::string left, right;
  };
  std::string name;                 // openpose_body25, ...
  std::vector<std::string> joints;  // names as in the skeletons
  std::vector<Middle> middles;      // joints that the estimator defines as the middle of two others
  int slots = 0;                    // joints per person in the file; those after joints.size() are not used

  int find(std::string_view joint) const;  // -1 if absent
};

// A joint set that is compiled in, a shipped skeleton or a skeleton's YAML file. Error (bad input) names the nearest.
JointSet joint_set(const std::string& name);
std::vector<std::string> joint_set_names();

}  // namespace posefix::dataset::formats
