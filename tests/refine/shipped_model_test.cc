// The model that comes along: plan and snapshot are one model, and it brings poses nearer to the annotated ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/rng.h"
#include "base/testing/project_folder.h"
#include "base/testing/run_program.h"
#include "base/testing/temporary_folder.h"

namespace posefix {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using ::testing::HasSubstr;

const fs::path kExamples = posefix::project_folder() / "examples/coco-mini";
const fs::path kPictures = kExamples / "images/val2017";
const fs::path kAnnotations = kExamples / "annotations/person_keypoints_val2017.json";
const fs::path kModels = posefix::project_folder() / "models";

class ShippedModel : public ::testing::Test {
 protected:
  // Annotated poses of people of some size, their joints shifted at random by some percent of the box's height.
  void SetUp() override {
    const ordered_json file = ordered_json::parse(read_file(kAnnotations));
    for (const ordered_json& annotation : file["annotations"]) {
      if (annotation["num_keypoints"] < 8 || annotation["iscrowd"] == 1 || annotation["bbox"][3] < 150) continue;
      Rng rng(1, 0, truth_.size());
      const double shift = 0.03 * annotation["bbox"][3].get<double>();
      ordered_json keypoints = annotation["keypoints"];
      for (size_t j = 0; j < keypoints.size(); j += 3) {
        if (keypoints[j + 2] == 0) continue;
        keypoints[j] = keypoints[j].get<double>() + shift * rng.normal();
        keypoints[j + 1] = keypoints[j + 1].get<double>() + shift * rng.normal();
        keypoints[j + 2] = 0.8;
      }
      poses_.push_back({{"image_id", annotation["image_id"]},
                        {"category_id", 1},
                        {"keypoints", keypoints},
                        {"bbox", annotation["bbox"]},
                        {"score", 0.8}});
      truth_.push_back(annotation["keypoints"]);
    }
    ASSERT_GE(truth_.size(), 5U);
    write_file_atomically(folder_ / "poses.json", poses_.dump());
  }

  ordered_json refine(const fs::path& model) const {
    const ProgramResult result = run_program(
        POSEFIX_PROGRAM, {"refine", model, "--images", kPictures, "--poses", folder_ / "poses.json", "--annotations",
                          kAnnotations, "--nms", "off", "--out", folder_ / "refined.json"});
    EXPECT_EQ(result.code, 0) << result.output;
    return ordered_json::parse(read_file(folder_ / "refined.json"));
  }

  // Mean distance of the annotated joints, as a share of the box's height.
  double mean_error(const ordered_json& poses) const {
    double sum = 0;
    int joints = 0;
    for (size_t i = 0; i < truth_.size(); ++i) {
      const double height = poses[i]["bbox"][3].get<double>();
      for (size_t j = 0; j < truth_[i].size(); j += 3) {
        if (truth_[i][j + 2] == 0) continue;
        sum += distance(poses[i]["keypoints"], truth_[i], j) / height;
        ++joints;
      }
    }
    return sum / joints;
  }
  static double distance(const ordered_json& a, const ordered_json& b, size_t j) {
    return std::hypot(a[j].get<double>() - b[j].get<double>(), a[j + 1].get<double>() - b[j + 1].get<double>());
  }

  TemporaryFolder folder_;
  ordered_json poses_ = ordered_json::array();
  ordered_json truth_ = ordered_json::array();
};

TEST_F(ShippedModel, BringsPosesNearerToTheAnnotatedOnes) {
  EXPECT_LT(mean_error(refine(kModels / "posefix-s.plan")), mean_error(poses_));
}

TEST_F(ShippedModel, PlanAndSnapshotAreOneModel) {
  const ordered_json plan = refine(kModels / "posefix-s.plan");
  const ordered_json snapshot = refine(kModels / "posefix-s.safetensors");
  double sum = 0;
  int joints = 0;
  for (size_t i = 0; i < plan.size(); ++i) {
    for (size_t j = 0; j < plan[i]["keypoints"].size(); j += 3, ++joints) {
      sum += distance(plan[i]["keypoints"], snapshot[i]["keypoints"], j) / plan[i]["bbox"][3].get<double>();
    }
  }
  EXPECT_LT(sum / joints, 0.002);  // bf16 against f32
}

TEST_F(ShippedModel, CarriesItsCalibration) {
  for (const char* name : {"posefix-s.plan", "posefix-s.safetensors"}) {
    const ProgramResult result = run_program(POSEFIX_PROGRAM, {"inspect", kModels / name});
    EXPECT_EQ(result.code, 0);
    EXPECT_THAT(result.output, HasSubstr("posefix.trust")) << name;
  }
}

}  // namespace
}  // namespace posefix
