// Joints and area of a person in the crop, after flip, pair swap and mapping: tests/golden/crop.
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "pose/golden_test_files.h"
#include "sample/assembly.h"

namespace posefix::sample {
namespace {

using nlohmann::json;

TEST(AssemblyGolden, JointsAndArea) {
  const std::map<std::string, std::string> skeletons{
      {"COCO", "coco17"}, {"PoseTrack", "posetrack17"}, {"MPII", "mpii16"}};
  const json cases = pose::read_golden(pose::goldens() / "crop" / "cases.json")["cases"];
  ASSERT_FALSE(cases.empty());
  for (const json& test_case : cases) {
    SCOPED_TRACE(test_case["id"].dump());
    const std::vector<int> partner = pose::Skeleton::load(skeletons.at(test_case["dataset"])).flip_permutation();
    pose::Keypoints joints;
    for (const json& joint : test_case["joints_image"]) joints.push_back({joint[0], joint[1], joint[2]});
    const json& bbox = test_case["bbox"];
    const pose::Box box{bbox[0], bbox[1], bbox[2], bbox[3]};
    ASSERT_FALSE(test_case["out"].empty());
    for (const auto& [name, expected] : test_case["out"].items()) {
      SCOPED_TRACE(name);
      const size_t cross = name.find('x');
      const image::CropSize size{std::stoi(name.substr(0, cross)), std::stoi(name.substr(cross + 1))};
      const image::CropGeometry geometry = image::crop_geometry(
          box, size, test_case["image_size"][0], {test_case["scale_factor"], test_case["rotation"], test_case["flip"]});
      pose::Keypoints mapped;
      joints_to_crop(joints, geometry, size, partner, mapped);
      for (size_t j = 0; j < mapped.size(); ++j) {
        SCOPED_TRACE("joint " + std::to_string(j));
        EXPECT_NEAR(mapped[j].x, expected["joints"][j][0].get<double>(), 2e-3);
        EXPECT_NEAR(mapped[j].y, expected["joints"][j][1].get<double>(), 2e-3);
        EXPECT_EQ(mapped[j].score, expected["joints"][j][2].get<double>());
      }
      // The golden's area has the f32 points of the matrix in it.
      const double area = expected["area"];
      EXPECT_NEAR(area_in_crop(box, geometry, size), area, 1e-5 * area);
    }
  }
}

}  // namespace
}  // namespace posefix::sample
