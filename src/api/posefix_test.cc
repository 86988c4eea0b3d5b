#include "posefix/posefix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "compiler/compile.h"
#include "model/posefix_net.h"
#include "plan/plan_file.h"
#include "pose/skeleton.h"
#include "trust/trust.h"

namespace posefix {
namespace {

using ::testing::HasSubstr;
using ::testing::StrEq;

class ApiTrust : public ::testing::Test {
 protected:
  void SetUp() override {
    const pose::Skeleton skeleton = pose::Skeleton::load("coco17");
    model::ModelConfig config;
    config.width = "1/16";
    config.input_size = {64, 64};
    const graph::Graph graph = model::build(config, skeleton.size());
    // Joints stay where they are.
    trust::Trust trust;
    trust.height = trust.width = 64;
    trust.kinds = trust::joint_kinds(skeleton);
    trust.curve_spread_px = {1};
    trust.curve_error_px = {2};
    trust.bind(skeleton);
    for (const bool with_trust : {false, true}) {
      const auto plan = compiler::compile(graph, model::initialise(graph, 1),
                                          {"", skeleton.yaml, with_trust ? trust.text() : ""}, {});
      plan::write_plan(with_trust ? calibrated_ : plain_, *plan);
    }
  }
  void TearDown() override {
    std::filesystem::remove(plain_);
    std::filesystem::remove(calibrated_);
  }

  static std::vector<double> refine(posefix_session* session, const std::vector<double>& keypoints) {
    const std::vector<uint8_t> picture(80 * 100 * 3, 128);
    std::vector<double> refined(34);
    EXPECT_EQ(posefix_refine(session, picture.data(), 80, 100, 1, keypoints.data(), nullptr, 1, refined.data()),
              POSEFIX_OK)
        << posefix_error();
    return refined;
  }

  std::filesystem::path plain_ = std::filesystem::temp_directory_path() / "api_trust_plain.plan";
  std::filesystem::path calibrated_ = std::filesystem::temp_directory_path() / "api_trust_calibrated.plan";
};

TEST_F(ApiTrust, IsCalibratedIfTheModelIsAndRawOnRequest) {
  posefix_session* session = nullptr;
  ASSERT_EQ(posefix_open(calibrated_.c_str(), nullptr, &session), POSEFIX_OK) << posefix_error();
  EXPECT_THAT(posefix_get_trust(session), StrEq("calibrated"));
  std::vector<double> keypoints;
  for (int joint = 0; joint < 17; ++joint) keypoints.insert(keypoints.end(), {20.0 + joint, 90.0 - 4 * joint, 0.5});
  const std::vector<double> stayed = refine(session, keypoints);
  for (size_t joint = 0; joint < 17; ++joint) {
    EXPECT_EQ(stayed[2 * joint], keypoints[3 * joint]);
    EXPECT_EQ(stayed[2 * joint + 1], keypoints[3 * joint + 1]);
  }
  ASSERT_EQ(posefix_set_trust(session, "raw"), POSEFIX_OK);
  EXPECT_THAT(posefix_get_trust(session), StrEq("raw"));
  EXPECT_NE(refine(session, keypoints), stayed);
  EXPECT_EQ(posefix_set_trust(session, "blind"), POSEFIX_BAD_INPUT);
  EXPECT_THAT(posefix_error(), HasSubstr("'blind'"));
  posefix_close(session);
}

TEST_F(ApiTrust, IsRawWithoutACalibration) {
  posefix_session* session = nullptr;
  ASSERT_EQ(posefix_open(plain_.c_str(), nullptr, &session), POSEFIX_OK) << posefix_error();
  EXPECT_THAT(posefix_get_trust(session), StrEq("raw"));
  EXPECT_EQ(posefix_set_trust(session, "calibrated"), POSEFIX_BAD_INPUT);
  EXPECT_THAT(posefix_error(), HasSubstr("no calibration"));
  posefix_close(session);
}

}  // namespace
}  // namespace posefix
