#include "trust/trust.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/testing/bad_input_message.h"

namespace posefix::trust {
namespace {

using ::testing::HasSubstr;

pose::Skeleton coco() { return pose::Skeleton::load("coco17"); }

Trust some_trust() {
  Trust trust;
  trust.height = 256;
  trust.width = 192;
  trust.people = 40;
  trust.spread = {-2, 0.5};
  trust.distance = {-1.5, 0.75};
  trust.score = {0.7, 0.2};
  trust.kinds = joint_kinds(coco());
  for (JointKind& kind : trust.kinds) {
    kind.labelled = 80;
    kind.moves = kind.name != "nose";
    if (kind.moves) kind.step_weights = {0.25, -1, 0.5, -0.125, -0.5};
    kind.error_factor = kind.name == "hip" ? 2 : 1;
  }
  trust.curve_spread_px = {1, 4, 16};
  trust.curve_error_px = {2, 6, 6.5};
  for (size_t i = 1; i < kScoreFeatures; ++i) trust.score_scaling[i] = {0.5, 0.25};
  trust.score_weights = {0, 1, 0.5, -0.5, -0.25, 1};
  trust.bind(coco());
  return trust;
}

std::string message_of(const std::string& text) {
  return bad_input_message([&] { Trust::parse(text, coco(), "m.plan"); });
}

TEST(Trust, LeftAndRightShareAKind) {
  const std::vector<JointKind> kinds = joint_kinds(coco());
  ASSERT_EQ(kinds.size(), 9U);
  EXPECT_EQ(kinds[0].name, "nose");
  EXPECT_EQ(kinds[0].joints, std::vector<int>{0});
  EXPECT_EQ(kinds[5].name, "wrist");
  EXPECT_EQ(kinds[5].joints, (std::vector<int>{9, 10}));
}

TEST(Trust, IgnoredJointsHaveNoKindAndTakeTheAnswer) {
  const pose::Skeleton skeleton = pose::Skeleton::load("posetrack17");
  ASSERT_FALSE(skeleton.ignored.empty());
  Trust trust = some_trust();
  trust.kinds = joint_kinds(skeleton);
  trust.bind(skeleton);
  const auto ear = static_cast<size_t>(skeleton.ignored.front());
  EXPECT_EQ(trust.kind_of(ear), -1);
  EXPECT_EQ(trust.step(ear, {100, 100, 1}), 1);
}

TEST(Trust, WiderHeatMapsNeverGiveLongerSteps) {
  const Trust trust = some_trust();
  for (const double moved : {0.0, 1.0, 10.0, 100.0}) {
    double last = 1;
    for (double spread = 0.1; spread < 200; spread *= 1.3) {
      const double step = trust.step(9, {spread, moved, 0.5});
      EXPECT_GE(step, 0);
      EXPECT_LE(step, last);
      last = step;
    }
  }
}

TEST(Trust, JointsWithoutInputTakeTheAnswerAndKindsWithoutGainStay) {
  const Trust trust = some_trust();
  EXPECT_EQ(trust.step(9, {50, 50, 0}), 1);
  EXPECT_EQ(trust.step(0, {50, 50, 0}), 1);
  EXPECT_EQ(trust.step(0, {0.1, 5, 0.5}), 0);
}

TEST(Trust, ExpectedErrorFollowsTheCurve) {
  const Trust trust = some_trust();
  EXPECT_NEAR(trust.expected_error_px(9, 0.1), 2, 1e-12);
  EXPECT_NEAR(trust.expected_error_px(9, 2), 4, 1e-12);  // the middle in ln
  EXPECT_NEAR(trust.expected_error_px(9, 1000), 6.5, 1e-12);
  EXPECT_NEAR(trust.expected_error_px(11, 2), 8, 1e-12);  // a hip: twice
}

TEST(Trust, MergedSpreadIsThatOfBothMapsTogether) {
  EXPECT_NEAR(merged_spread(3, 3, 0), 3, 1e-12);
  // Two points, 8 apart: standard deviation 4.
  EXPECT_NEAR(merged_spread(0, 0, 8), 4, 1e-12);
  EXPECT_NEAR(merged_spread(3, 5, 8), std::sqrt(17 + 16), 1e-12);
}

TEST(Trust, TextComesBackAsItWas) {
  const Trust trust = some_trust();
  const Trust back = Trust::parse(trust.text(), coco(), "text");
  EXPECT_EQ(back.text(), trust.text());
  EXPECT_EQ(back.people, 40);
  EXPECT_TRUE(back.flip);
  EXPECT_FALSE(back.kinds[0].moves);
  for (size_t joint = 0; joint < 17; ++joint) {
    EXPECT_EQ(back.step(joint, {3, 7, 0.4}), trust.step(joint, {3, 7, 0.4}));
    EXPECT_EQ(back.expected_error_px(joint, 3), trust.expected_error_px(joint, 3));
  }
}

TEST(Trust, BadTextsNameTheirPlace) {
  const std::string good = some_trust().text();
  const auto with = [&](const std::string& old_text, const std::string& new_text) {
    std::string text = good;
    const size_t at = text.find(old_text);
    EXPECT_NE(at, std::string::npos) << old_text;
    return text.replace(at, old_text.size(), new_text);
  };
  EXPECT_THAT(message_of("{"), HasSubstr("m.plan: expected a JSON object"));
  EXPECT_THAT(message_of("{}"), HasSubstr("'version' is missing"));
  EXPECT_THAT(message_of(with("\"version\":1", "\"version\":2")), HasSubstr("calibrate again"));
  EXPECT_THAT(message_of(with("left_wrist", "left_flipper")), HasSubstr("no joint 'left_flipper'"));
  EXPECT_THAT(message_of(with("left_wrist", "left_knee")), HasSubstr("twice"));
  EXPECT_THAT(message_of(with("[1.0,4.0,16.0]", "[1.0,4.0,4.0]")), HasSubstr("ascending"));
  EXPECT_THAT(message_of(with("[1.0,4.0,16.0]", "[1.0,4.0]")), HasSubstr("2 values"));
  EXPECT_THAT(message_of(with("[2.0,6.0,6.5]", "[]")), HasSubstr("empty"));
  EXPECT_THAT(message_of(with("[0.7,0.2]", "[0.7,0.0]")), HasSubstr("scaling.score[1]"));
  EXPECT_THAT(message_of(with("[0.25,-1.0,0.5,-0.125,-0.5]", "[0.25,-1.0]")), HasSubstr("expected 5 values"));
  EXPECT_THAT(message_of(with("\"flip\":true", "\"flip\":1")), HasSubstr(".flip: expected true or false"));
}

}  // namespace
}  // namespace posefix::trust
