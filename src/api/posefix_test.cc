#include "posefix/posefix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/testing/temporary_folder.h"
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

  static std::vector<double> refine(posefix_session* session, const std::vector<double>& keypoints) {
    const std::vector<uint8_t> picture(80 * 100 * 3, 128);
    std::vector<double> refined(34);
    EXPECT_EQ(posefix_refine(session, picture.data(), 80, 100, 1, keypoints.data(), nullptr, 1, refined.data()),
              POSEFIX_OK)
        << posefix_error();
    return refined;
  }

  TemporaryFolder folder_;
  std::filesystem::path plain_ = folder_ / "plain.plan";
  std::filesystem::path calibrated_ = folder_ / "calibrated.plan";
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

int64_t own_kib() {  // of this process' memory, what no file backs
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word == "RssAnon:") {
      int64_t kib = 0;
      status >> kib;
      return kib;
    }
  }
  return 0;
}

TEST(ApiSessions, OfOneFileShareItsWeights) {
  const std::filesystem::path path = std::filesystem::temp_directory_path() / "api_shared_weights.plan";
  model::ModelConfig config;
  config.width = "1/2";
  config.input_size = {64, 64};
  const graph::Graph graph = model::build(config, 17);
  {
    const auto plan = compiler::compile(graph, model::initialise(graph, 1), {}, {});
    plan::write_plan(path, *plan);
  }
  posefix_options options{};
  options.max_batch = 1;
  options.threads = 1;
  std::array<posefix_session*, 3> sessions{};
  std::array<int64_t, 4> kib{own_kib()};
  std::vector<std::vector<float>> answers;
  const std::vector<uint8_t> crop(64 * 64 * 3, 100);
  const std::vector<float> pose(34, 20);
  const std::vector<float> valid(17, 1);
  for (size_t i = 0; i < sessions.size(); ++i) {
    ASSERT_EQ(posefix_open(path.c_str(), &options, &sessions[i]), POSEFIX_OK) << posefix_error();
    answers.emplace_back(34);
    ASSERT_EQ(posefix_run(sessions[i], 1, crop.data(), pose.data(), valid.data(), answers[i].data(), nullptr),
              POSEFIX_OK);
    kib[i + 1] = own_kib();
    EXPECT_EQ(answers[i], answers[0]);
  }
  const int64_t first = kib[1] - kib[0];
  EXPECT_GT(first, 30 * 1024) << "34 MB of weights";
  EXPECT_LT(kib[2] - kib[1], first / 4);
  EXPECT_LT(kib[3] - kib[2], first / 4);
  // The last one that is closed gives them back; the others go on meanwhile, also at the same time.
  posefix_close(sessions[0]);
  std::array<std::vector<float>, 2> later{std::vector<float>(34), std::vector<float>(34)};
  std::vector<std::thread> threads;
  for (size_t i = 0; i < 2; ++i) {
    threads.emplace_back(
        [&, i] { posefix_run(sessions[i + 1], 1, crop.data(), pose.data(), valid.data(), later[i].data(), nullptr); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(later[0], answers[0]);
  EXPECT_EQ(later[1], answers[0]);
  posefix_close(sessions[1]);
  posefix_close(sessions[2]);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace posefix
