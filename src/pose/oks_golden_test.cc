// OKS and OKS-NMS against evaluate/nms.
#include <gtest/gtest.h>

#include "pose/golden_test_files.h"
#include "pose/oks.h"

namespace posefix::pose {
namespace {

using nlohmann::json;

Keypoints keypoints_of(const json& xy) {
  Keypoints keypoints(xy.size() / 2);
  for (size_t j = 0; j < keypoints.size(); ++j) keypoints[j] = {xy[2 * j], xy[2 * j + 1], 1};
  return keypoints;
}

// Returns whether the case lists similarities.
bool check_case(const json& golden) {
  const std::vector<double> sigmas = golden["sigmas"];
  const std::vector<double> areas = golden["areas"];
  std::vector<Keypoints> poses;
  for (const json& xy : golden["xy"]) poses.push_back(keypoints_of(xy));
  const bool has_oks = golden.contains("oks");  // the largest case lists only what is kept
  for (size_t i = 0; has_oks && i < poses.size(); ++i) {
    for (size_t k = 0; k < poses.size(); ++k) {
      EXPECT_NEAR(oks_similarity(poses[i], poses[k], areas[i], areas[k], sigmas), golden["oks"][i][k].get<double>(),
                  1e-14)
          << i << ", " << k;
    }
  }
  std::vector<NmsCandidate> candidates;
  for (size_t i = 0; i < poses.size(); ++i) candidates.push_back({&poses[i], areas[i], golden["scores"][i]});
  EXPECT_FALSE(golden["keep"].empty());
  for (const auto& [threshold, keep] : golden["keep"].items()) {
    EXPECT_EQ(oks_nms(candidates, sigmas, std::stod(threshold)), keep.get<std::vector<size_t>>())
        << "threshold " << threshold;
  }
  return has_oks;
}

TEST(OksGolden, SimilarityAndSuppression) {
  size_t cases = 0;
  size_t with_oks = 0;
  for (const auto& path : golden_files(goldens() / "evaluate" / "nms", ".json")) {
    for (const json& golden : read_golden(path).value("cases", json::array())) {
      SCOPED_TRACE(path.filename().string() + " " + golden.value("name", ""));
      with_oks += check_case(golden);
      ++cases;
    }
  }
  EXPECT_GT(cases, 0u);
  EXPECT_GT(with_oks, 0u);
}

}  // namespace
}  // namespace posefix::pose
