// PoseTrack AP against evaluate/posetrack: made by poseval.
#include <gtest/gtest.h>

#include <cmath>

#include "evaluate/posetrack_ap.h"
#include "pose/golden_test_files.h"

namespace posefix::evaluate {
namespace {

using nlohmann::json;

void expect_number(double ours, const json& expected, const std::string& what) {
  if (expected.is_null()) {
    EXPECT_TRUE(std::isnan(ours)) << what << " is " << ours;
  } else {
    EXPECT_NEAR(ours, expected.get<double>(), 1e-9) << what;
  }
}

struct Videos {
  std::vector<dataset::PosetrackSequence> annotated, predicted;

  Videos(const std::filesystem::path& gt, const std::filesystem::path& pred) {
    for (const auto& path : pose::golden_files(gt, ".json")) {
      annotated.push_back(dataset::read_posetrack_sequence(path));
      predicted.push_back(dataset::read_posetrack_sequence(pred / path.filename()));
    }
  }
  PosetrackPair pair(size_t i) const { return {&annotated[i], &predicted[i]}; }
};

void check_all(const Videos& videos, const json& expected) {
  std::vector<PosetrackPair> pairs;
  for (size_t i = 0; i < videos.annotated.size(); ++i) pairs.push_back(videos.pair(i));
  const PosetrackFigures figures = posetrack_figures(pairs);
  EXPECT_EQ(figures.frames, expected["frames_evaluated"].get<size_t>());
  for (const auto& [name, joint] : expected["joints"].items()) {
    const PosetrackJointFigures& ours = figures.joints.at(joint["id"].get<size_t>());
    expect_number(ours.ap, joint["ap"], name + " AP");
    expect_number(ours.precision, joint["precision"], name + " precision");
    expect_number(ours.recall, joint["recall"], name + " recall");
    EXPECT_EQ(ours.annotated, joint["n_gt"].get<size_t>()) << name;
    EXPECT_EQ(ours.predicted, joint["n_pred"].get<size_t>()) << name;
    EXPECT_EQ(ours.matched, joint["n_true"].get<size_t>()) << name;
  }
  expect_number(figures.ap, expected["total"]["ap"], "total AP");
  expect_number(figures.precision, expected["total"]["precision"], "total precision");
  expect_number(figures.recall, expected["total"]["recall"], "total recall");
  for (const PosetrackGroup& group : posetrack_groups(figures))
    expect_number(group.ap, expected["groups"][group.name], group.name);
}

void check_videos(const Videos& videos, const json& expected) {
  for (size_t i = 0; i < videos.annotated.size(); ++i) {
    const std::string name = std::filesystem::path(videos.annotated[i].path).stem().string();
    const json& golden = expected["sequences"][name];
    const PosetrackFigures figures = posetrack_figures({videos.pair(i)});
    EXPECT_EQ(figures.frames, golden["frames"].get<size_t>()) << name;
    for (size_t j = 0; j < kPosetrackJoints; ++j) {
      expect_number(figures.joints[j].ap, golden["ap"][j], name + " " + posetrack_joints()[j]);
    }
    expect_number(figures.ap, golden["ap"][kPosetrackJoints], name + " total");
  }
}

TEST(PosetrackGolden, FiguresOfAllVideosAndOfEach) {
  const std::filesystem::path folder = pose::goldens() / "evaluate" / "posetrack";
  size_t cases = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!std::filesystem::exists(entry.path() / "expected.json")) continue;
    SCOPED_TRACE(entry.path().filename().string());
    const Videos videos(folder / "gt", entry.path() / "pred");
    const json expected = pose::read_golden(entry.path() / "expected.json");
    check_all(videos, expected);
    check_videos(videos, expected);
    ++cases;
  }
  EXPECT_GT(cases, 0u);
}

}  // namespace
}  // namespace posefix::evaluate
