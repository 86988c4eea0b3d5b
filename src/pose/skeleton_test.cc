#include "pose/skeleton.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/testing/bad_input_message.h"

namespace posefix::pose {
namespace {

using testing::HasSubstr;

constexpr const char* kSmall = R"(name: stick
joints: [left_hand, right_hand, head]
flip_pairs: [[left_hand, right_hand]]
limbs: [[left_hand, head]]
sigmas: [0.1, 0.1, 0]
error_kinds: [wrist, wrist, nose]
ignored: [head]
head: [head, left_hand]
)";

std::string message_of(const std::string& yaml) {
  return bad_input_message([&] { Skeleton::parse(yaml, "stick.yaml"); });
}

std::string replaced(const std::string& from, const std::string& to) {
  std::string text = kSmall;
  text.replace(text.find(from), from.size(), to);
  return text;
}

TEST(Skeleton, ReadsEveryField) {
  const Skeleton skeleton = Skeleton::parse(kSmall, "stick.yaml");
  EXPECT_EQ(skeleton.name, "stick");
  EXPECT_EQ(skeleton.size(), 3);
  EXPECT_EQ(skeleton.flip_permutation(), (std::vector<int>{1, 0, 2}));
  EXPECT_TRUE(skeleton.is_ignored(2));
  EXPECT_FALSE(skeleton.is_ignored(0));
  EXPECT_EQ(skeleton.find("head"), 2);
  EXPECT_EQ(skeleton.find("tail"), -1);
  EXPECT_EQ(skeleton.head_joints, (std::pair{2, 0}));
  EXPECT_EQ(skeleton.yaml, kSmall);
}

TEST(Skeleton, ShippedOnesAreConsistentAndReadBack) {
  ASSERT_GE(shipped_skeletons().size(), 7u);
  for (const std::string& name : shipped_skeletons()) {
    SCOPED_TRACE(name);
    const Skeleton skeleton = Skeleton::load(name);
    EXPECT_EQ(skeleton.name, name);
    EXPECT_EQ(skeleton.sigmas.size(), skeleton.joints.size());
    EXPECT_EQ(skeleton.error_kinds.size(), skeleton.joints.size());
    const std::vector<int> permutation = skeleton.flip_permutation();
    for (int j = 0; j < skeleton.size(); ++j)
      EXPECT_EQ(permutation[static_cast<size_t>(permutation[static_cast<size_t>(j)])], j);
    // Sides mirror into each other: a left joint's partner is the right joint of the same name.
    for (const auto& [a, b] : skeleton.flip_pairs) {
      EXPECT_EQ(skeleton.joints[static_cast<size_t>(a)].substr(4), skeleton.joints[static_cast<size_t>(b)].substr(5));
    }
    EXPECT_EQ(Skeleton::parse(skeleton.yaml, "again").joints, skeleton.joints);
  }
}

TEST(Skeleton, MessagesNamePlaceAndNearestName) {
  EXPECT_THAT(message_of(replaced("sigmas:", "sigma:")),
              HasSubstr("unknown field 'sigma'; the nearest known one is 'sigmas'"));
  EXPECT_THAT(message_of(replaced("[left_hand, head]", "[left_hand, haed]")),
              HasSubstr("line 4: 'limbs': unknown joint 'haed'; the nearest known one is 'head'"));
  EXPECT_THAT(message_of(replaced("[0.1, 0.1, 0]", "[0.1, 0.1]")), HasSubstr("2 numbers for 3 joints"));
  EXPECT_THAT(message_of(replaced("[0.1, 0.1, 0]", "[0.1, 0, 0]")), HasSubstr("0 for 'right_hand'"));
  EXPECT_THAT(message_of(replaced("[0.1, 0.1, 0]", "[0.1, .nan, 0]")), HasSubstr("expected a positive number"));
  EXPECT_THAT(message_of(replaced("right_hand, head]", "left_hand, head]")), HasSubstr("'left_hand' occurs twice"));
  EXPECT_THAT(message_of("joints: [a"), HasSubstr("not valid YAML"));
  EXPECT_THAT(message_of("- a"), HasSubstr("expected a map"));
  EXPECT_THAT(message_of("name: x"), HasSubstr("field 'joints' is missing"));
  try {
    Skeleton::load("coco71");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("the nearest shipped one is 'coco17'"));
  }
}

}  // namespace
}  // namespace posefix::pose
