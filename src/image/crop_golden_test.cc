// Box rule, matrices, joints, decoded pictures and warped crops against tests/golden/crop.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "image/crop.h"
#include "image/image.h"
#include "pose/golden_test_files.h"

namespace posefix::image {
namespace {

using nlohmann::json;
using pose::read_golden;

std::filesystem::path goldens() { return pose::goldens() / "crop"; }

pose::Box box_of(const json& bbox) { return {bbox[0], bbox[1], bbox[2], bbox[3]}; }

void expect_matrix(const json& expected, const Affine& actual) {
  for (size_t row = 0; row < 2; ++row) {
    for (size_t column = 0; column < 3; ++column) {
      const double value = expected[row][column];
      EXPECT_NEAR(actual[3 * row + column], value, 1e-9 * std::max(1.0, std::abs(value)));
    }
  }
}

void expect_pair(const json& expected, double first, double second) {
  EXPECT_NEAR(first, expected[0].get<double>(), 1e-9 * std::max(1.0, std::abs(first)));
  EXPECT_NEAR(second, expected[1].get<double>(), 1e-9 * std::max(1.0, std::abs(second)));
}

// COCO's and PoseTrack's pairs are (5,6) .. (15,16), COCO's also (1,2) and (3,4).
std::vector<size_t> pair_permutation(const std::string& dataset, size_t joints) {
  std::vector<std::pair<size_t, size_t>> pairs;
  if (dataset == "MPII") {
    pairs = {{0, 5}, {1, 4}, {2, 3}, {10, 15}, {11, 14}, {12, 13}};
  } else {
    for (size_t j = dataset == "COCO" ? 1 : 5; j < 17; j += 2) pairs.emplace_back(j, j + 1);
  }
  std::vector<size_t> partner(joints);
  for (size_t j = 0; j < joints; ++j) partner[j] = j;
  for (const auto& [a, b] : pairs) {
    partner[a] = b;
    partner[b] = a;
  }
  return partner;
}

void expect_joints(const json& test_case, const json& expected, const CropGeometry& geometry, CropSize size) {
  const json& joints = test_case["joints_image"];
  const auto partner = pair_permutation(test_case["dataset"], joints.size());
  for (size_t j = 0; j < joints.size(); ++j) {
    SCOPED_TRACE("joint " + std::to_string(j));
    const json& joint = joints[geometry.flip ? partner[j] : j];
    double x = joint[0];
    double y = joint[1];
    double v = joint[2];
    if (v > 0) {
      map_to_crop(geometry, x, y);
      if (!(x >= 0 && x < size.width && y >= 0 && y < size.height)) v = 0;
    } else if (geometry.flip) {
      x = geometry.image_width - 1 - x;
    }
    EXPECT_NEAR(x, expected[j][0].get<double>(), 2e-3);
    EXPECT_NEAR(y, expected[j][1].get<double>(), 2e-3);
    EXPECT_EQ(v, expected[j][2].get<double>());
  }
}

void expect_crop(const json& test_case, const json& expected, const Image& image, CropSize size) {
  const Augmentation augmentation{test_case["scale_factor"], test_case["rotation"], test_case["flip"]};
  const CropGeometry geometry = crop_geometry(box_of(test_case["bbox"]), size, image.width, augmentation);
  expect_pair(expected["center"], geometry.center_x, geometry.center_y);
  expect_pair(expected["scale"], geometry.scale_w, geometry.scale_h);
  expect_matrix(expected["trans"], geometry.to_crop);
  expect_joints(test_case, expected["joints"], geometry, size);
  std::vector<uint8_t> crop(size_t{3} * static_cast<size_t>(size.width) * static_cast<size_t>(size.height), 77);
  warp(image, geometry, size, crop);
  EXPECT_EQ(sha256_hex(std::as_bytes(std::span(crop))), expected["crop_bgr_sha256"].get<std::string>());
  EXPECT_EQ(decode(goldens() / expected["png"].get<std::string>()).bgr, crop);
}

TEST(CropGolden, PicturesMatricesJointsAndPixels) {
  const json cases = read_golden(goldens() / "cases.json")["cases"];
  ASSERT_FALSE(cases.empty());
  size_t crops = 0;
  for (const json& test_case : cases) {
    SCOPED_TRACE(test_case["id"].dump() + " " + test_case["image"].get<std::string>());
    const Image image = decode(pose::golden_data() / test_case["image"].get<std::string>());
    EXPECT_EQ(sha256_hex(std::as_bytes(std::span(image.bgr))), test_case["image_bgr_sha256"].get<std::string>());
    for (const auto& [name, expected] : test_case["out"].items()) {
      SCOPED_TRACE(name);
      const size_t cross = name.find('x');
      const CropSize size{std::stoi(name.substr(0, cross)), std::stoi(name.substr(cross + 1))};
      expect_crop(test_case, expected, image, size);
      ++crops;
    }
  }
  EXPECT_GT(crops, 0U);
}

TEST(CropGolden, Boxes) {
  const json boxes = read_golden(goldens() / "boxes.json")["boxes"];
  ASSERT_FALSE(boxes.empty());
  for (const json& entry : boxes) {
    SCOPED_TRACE(entry.dump());
    const CropSize size{entry["input_shape"][0], entry["input_shape"][1]};
    const CropGeometry geometry = crop_geometry(box_of(entry["bbox"]), size, 0, {1, entry["rotation"], false});
    expect_pair(entry["center"], geometry.center_x, geometry.center_y);
    expect_pair(entry["scale"], geometry.scale_w, geometry.scale_h);
    expect_matrix(entry["trans"], geometry.to_crop);
    expect_matrix(entry["trans_inverse"], geometry.to_image);
  }
}

}  // namespace
}  // namespace posefix::image
