// The model that comes along: plan and snapshot are one model, and it brings poses nearer to the annotated ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

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

  ordered_json refine(const fs::path& model, const std::vector<std::string>& options = {}) {
    std::vector<std::string> arguments{"refine", model, "--images", kPictures, "--poses", folder_ / "poses.json"};
    arguments.insert(arguments.end(),
                     {"--annotations", kAnnotations, "--nms", "off", "--out", folder_ / "refined.json"});
    arguments.insert(arguments.end(), options.begin(), options.end());
    const ProgramResult result = run_program(POSEFIX_PROGRAM, arguments);
    EXPECT_EQ(result.code, 0) << result.output;
    said_ = result.output;
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

  // Mean distance of the annotated joints of the same people, as a share of the box's height. A joint outside the
  // picture has a flat heat map, whose mean the last digits of a few cells move by pixels.
  double apart(const ordered_json& a, const ordered_json& b) const {
    double sum = 0;
    int joints = 0;
    for (size_t i = 0; i < truth_.size(); ++i) {
      for (size_t j = 0; j < truth_[i].size(); j += 3) {
        if (truth_[i][j + 2] == 0) continue;
        sum += distance(a[i]["keypoints"], b[i]["keypoints"], j) / a[i]["bbox"][3].get<double>();
        ++joints;
      }
    }
    return sum / joints;
  }

  TemporaryFolder folder_;
  std::string said_;  // by the last refine()
  ordered_json poses_ = ordered_json::array();
  ordered_json truth_ = ordered_json::array();
};

TEST_F(ShippedModel, BringsPosesNearerToTheAnnotatedOnes) {
  EXPECT_LT(mean_error(refine(kModels / "posefix-s.plan")), mean_error(poses_));
}

TEST_F(ShippedModel, PlanAndSnapshotAreOneModel) {
  EXPECT_LT(apart(refine(kModels / "posefix-s.plan"), refine(kModels / "posefix-s.safetensors")),
            0.002);  // bf16 against f32
}

// On a trained network int8's arithmetic and the reference's emulation of it agree to a twentieth of a pixel in a crop
// of 256 px, of which a box fills four fifths.
TEST_F(ShippedModel, Int8IsTheSameOnTheReferenceBackend) {
  const fs::path plan = folder_ / "int8.plan";
  const ProgramResult compiled = run_program(
      POSEFIX_PROGRAM, {"compile", kModels / "posefix-s.safetensors", "--precision", "int8", "--calibration", kPictures,
                        "--annotations", kAnnotations, "--poses", folder_ / "poses.json", "--calibration-people", "4",
                        "--held-out-people", "4", "--out", plan});
  ASSERT_EQ(compiled.code, 0) << compiled.output;
  const ordered_json found = refine(plan, {"--trust", "raw", "--no-flip", "--backend", "cpu"});
  const bool in_f32 = said_.find("it runs in f32") != std::string::npos;  // no instructions for int8
  const ordered_json expected = refine(plan, {"--trust", "raw", "--no-flip", "--backend", "reference"});
  EXPECT_LT(apart(found, expected), in_f32 ? 0.01 : 0.05 / (256 * 0.8));
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
