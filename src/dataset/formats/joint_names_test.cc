#include "dataset/formats/joint_names.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "pose/skeleton.h"

namespace posefix::dataset::formats {
namespace {

TEST(JointName, UnderstandsTheUsualSpellings) {
  for (const char* text : {"right_ankle", "RAnkle", "r_ankle", "Right Ankle", "ankle_right", "RIGHT-ANKLE",
                           "rightAnkle", "rankle", "rightankle", "R.Ankle", "ankle (right)"}) {
    EXPECT_EQ(joint_name(text), "right_ankle") << text;
  }
  EXPECT_EQ(joint_name("LBigToe"), "left_big_toe");
  EXPECT_EQ(joint_name("LEFT_EYE_INNER"), "left_eye_inner");
  EXPECT_EQ(joint_name("Nose"), "nose");
  EXPECT_EQ(joint_name("MidHip"), "pelvis");
  EXPECT_EQ(joint_name("upper_neck"), "neck");
  EXPECT_EQ(joint_name("throax"), "thorax");
  EXPECT_EQ(joint_name("mouth_left"), "mouth_left");
  EXPECT_EQ(joint_name("root_tail"), "root_tail");
  EXPECT_EQ(joint_name(""), "");
}

TEST(JointName, LeavesEveryJointOfEverySetAlone) {
  for (const std::string& set : joint_set_names()) {
    for (const std::string& joint : joint_set(set).joints) EXPECT_EQ(joint_name(joint), joint) << set;
  }
}

TEST(JointSet, HasNoJointTwiceAndItsMiddlesExist) {
  for (const std::string& name : joint_set_names()) {
    const JointSet set = joint_set(name);
    EXPECT_EQ(std::set<std::string>(set.joints.begin(), set.joints.end()).size(), set.joints.size()) << name;
    EXPECT_GE(set.slots, static_cast<int>(set.joints.size())) << name;
    for (const JointSet::Middle& middle : set.middles) {
      EXPECT_GE(set.find(middle.joint), 0) << name;
      EXPECT_GE(set.find(middle.left), 0) << name;
      EXPECT_GE(set.find(middle.right), 0) << name;
    }
  }
}

TEST(JointSet, HasTheNumbersOfTheEstimators) {
  EXPECT_EQ(joint_set("openpose_body25").slots, 25);
  EXPECT_EQ(joint_set("openpose_coco18").slots, 18);
  EXPECT_EQ(joint_set("halpe26").slots, 26);
  EXPECT_EQ(joint_set("halpe136").slots, 136);
  EXPECT_EQ(joint_set("wholebody133").slots, 133);
  EXPECT_EQ(joint_set("mediapipe33").slots, 33);
}

TEST(JointSet, UnknownNamesGetTheNearest) {
  try {
    joint_set("halpe27");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("'halpe26'"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace posefix::dataset::formats
