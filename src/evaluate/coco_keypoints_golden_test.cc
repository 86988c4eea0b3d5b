// COCO keypoint figures against evaluate/coco: made by pycocotools.
#include <gtest/gtest.h>

#include <algorithm>

#include "evaluate/coco_keypoints.h"
#include "pose/golden_test_files.h"

namespace posefix::evaluate {
namespace {

using nlohmann::json;

constexpr double kTolerance = 1e-12;

std::filesystem::path resolve(const std::filesystem::path& folder, const std::string& name) {
  return name.starts_with("DATA/") ? pose::golden_data() / name.substr(5) : folder / name;
}

void check_figures(const CocoCurves& curves, const json& expected) {
  for (const auto& [name, value] : expected["stats"].items()) {
    std::string ours = name;
    ours.erase(std::remove(ours.begin(), ours.end(), '_'), ours.end());
    const auto found = std::find_if(kCocoFigures.begin(), kCocoFigures.end(),
                                    [&](const NamedFigure& figure) { return figure.name == ours; });
    ASSERT_NE(found, kCocoFigures.end()) << name;
    EXPECT_NEAR(curves.figures.*(found->value), value.get<double>(), kTolerance) << name;
  }
  for (size_t t = 0; t < kThresholds; ++t) {
    EXPECT_EQ(oks_thresholds()[t], expected["thresholds"][t].get<double>());
    EXPECT_NEAR(curves.ap_per_threshold[t], expected["ap_per_threshold"][t].get<double>(), kTolerance) << t;
    EXPECT_NEAR(curves.recall_per_threshold[t], expected["recall_per_threshold"][t].get<double>(), kTolerance) << t;
  }
}

void check_group(const GroupMatches& ours, const json& expected) {
  std::vector<size_t> ids;
  for (const size_t position : ours.detections) ids.push_back(position + 1);
  EXPECT_EQ(ids, expected["dtIds"].get<std::vector<size_t>>());
  EXPECT_EQ(ours.targets, expected["gtIds"].get<std::vector<int64_t>>());
  EXPECT_EQ(std::vector<int>(ours.target_ignored.begin(), ours.target_ignored.end()),
            expected["gtIgnore"].get<std::vector<int>>());
  for (size_t t = 0; t < kThresholds; ++t) {
    EXPECT_EQ(ours.match[t], expected["dtMatches"][t].get<std::vector<int64_t>>()) << "threshold " << t;
    EXPECT_EQ(std::vector<int>(ours.ignored[t].begin(), ours.ignored[t].end()),
              expected["dtIgnore"][t].get<std::vector<int>>())
        << "threshold " << t;
  }
}

const GroupMatches* find_group(const Matches& matches, const json& expected) {
  for (const GroupMatches& group : matches.groups) {
    if (group.image_id == expected["image_id"] && group.category_id == expected["category_id"]) return &group;
  }
  ADD_FAILURE() << "no group for image " << expected["image_id"] << ", category " << expected["category_id"];
  return nullptr;
}

void check_details(const Matches& matches, const json& expected) {
  for (const json& group : expected.value("per_image_area_all", json::array())) {
    SCOPED_TRACE("image " + group["image_id"].dump());
    const GroupMatches* ours = find_group(matches, group);
    if (ours != nullptr) check_group(*ours, group);
  }
  for (const json& group : expected.value("oks", json::array())) {
    SCOPED_TRACE("OKS of image " + group["image_id"].dump());
    const GroupMatches* ours = find_group(matches, group);
    if (ours == nullptr) continue;
    size_t i = 0;
    for (const json& row : group["oks"]) {
      for (const json& value : row) {
        ASSERT_LT(i, ours->oks.size());
        EXPECT_NEAR(ours->oks[i++], value.get<double>(), kTolerance);
      }
    }
  }
}

TEST(CocoKeypointsGolden, FiguresMatchesAndSimilarities) {
  const std::filesystem::path folder = pose::goldens() / "evaluate" / "coco";
  for (const auto& path : pose::golden_files(folder, ".expected.json")) {
    SCOPED_TRACE(path.filename().string());
    const json expected = pose::read_golden(path);
    const std::vector<double> sigmas = expected["sigmas"];
    dataset::AnnotationReadOptions options;
    options.require_area = false;
    const auto annotations = dataset::read_coco_annotations(resolve(folder, expected["gt"]), options);
    for (const int threads : {1, 2}) {
      ThreadPool pool(threads);
      const Detections detections = read_detections(resolve(folder, expected["dt"]), 0, pool);
      EXPECT_EQ(detections.size(), expected["n_dt"].get<size_t>());
      const Matches matches = match(annotations, detections, sigmas, pool, true);
      check_figures(figures(matches), expected);
      check_details(matches, expected);
      // The way without details leaves out pairs that cannot match.
      check_figures(figures(match(annotations, detections, sigmas, pool)), expected);
    }
  }
}

}  // namespace
}  // namespace posefix::evaluate
