#include "dataset/formats/convert_poses.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/rng.h"
#include "base/testing/bad_input_message.h"
#include "base/testing/temporary_folder.h"

namespace posefix::dataset::formats {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

PictureSize fixed_size(const std::filesystem::path&) { return {640, 480}; }

json written(const std::filesystem::path& path) { return json::parse(read_file(path)); }

JointSet own_joints(const pose::Skeleton& skeleton) { return {skeleton.name, skeleton.joints, {}, skeleton.size()}; }

EstimatedPose pose_in(const std::string& picture, size_t joints, double score) {
  EstimatedPose pose;
  pose.picture = picture;
  for (size_t j = 0; j < joints; ++j) pose.keypoints.push_back({10.0 + double(j), 20.0, score});
  return pose;
}

TEST(WritePoseFile, MapsJointsByNameAndScoresMissingOnesZero) {
  const TemporaryFolder folder;
  const pose::Skeleton skeleton = pose::Skeleton::load("mpii16");
  EstimatorPoses poses;
  poses.joints = joint_set("openpose_body25");
  poses.poses.push_back(pose_in("000000000042.jpg", 25, 0.5));
  const std::vector<std::string> notes = write_pose_file(folder / "p.json", poses, skeleton, {});
  const json entry = written(folder / "p.json").at(0);
  EXPECT_EQ(entry["image_id"], 42);
  EXPECT_EQ(entry["file_name"], "000000000042.jpg");
  EXPECT_EQ(entry["score"], 0.5);
  const auto joint = [&](const char* name) {
    const size_t j = static_cast<size_t>(skeleton.find(name));
    return std::vector<double>{entry["keypoints"][3 * j], entry["keypoints"][3 * j + 1], entry["keypoints"][3 * j + 2]};
  };
  EXPECT_EQ(joint("right_ankle"), (std::vector<double>{10 + 11, 20, 0.5}));
  EXPECT_EQ(joint("pelvis"), (std::vector<double>{10 + 8, 20, 0.5}));
  EXPECT_EQ(joint("thorax"), (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(joint("head_top"), (std::vector<double>{0, 0, 0}));
  ASSERT_FALSE(notes.empty());
  EXPECT_THAT(notes[0], HasSubstr("thorax, head_top"));
  // The box is that of the joints found, not of 0, 0.
  EXPECT_GT(entry["bbox"][0].get<double>(), 5);
}

TEST(WritePoseFile, NumbersPictures) {
  const TemporaryFolder folder;
  const pose::Skeleton skeleton = pose::Skeleton::load("coco17");
  EstimatorPoses poses;
  poses.joints = own_joints(skeleton);
  for (const char* name : {"b.jpg", "a.jpg", "b.jpg"}) poses.poses.push_back(pose_in(name, 17, 1));
  write_pose_file(folder / "p.json", poses, skeleton, {});
  const json entries = written(folder / "p.json");
  EXPECT_EQ(entries[0]["image_id"], 2);
  EXPECT_EQ(entries[1]["image_id"], 1);
  EXPECT_EQ(entries[2]["image_id"], 2);
  EXPECT_FALSE(entries[0].contains("bbox"));

  CocoAnnotations annotations;
  annotations.images.push_back({.id = 77, .file_name = "val/a.jpg", .width = 0, .height = 0, .license = 0});
  const auto notes = write_pose_file(folder / "q.json", poses, skeleton, {nullptr, &annotations});
  EXPECT_EQ(written(folder / "q.json").size(), 1U);
  EXPECT_EQ(written(folder / "q.json")[0]["image_id"], 77);
  EXPECT_THAT(notes.at(0), HasSubstr("2 people were left out"));
}

TEST(WritePoseFile, LooksPicturesUp) {
  const TemporaryFolder folder;
  folder.write("images/sub/a.PNG", "");
  folder.write("images/000000000009.jpg", "");
  const PictureFolder pictures(folder / "images", &fixed_size);
  const pose::Skeleton skeleton = pose::Skeleton::load("coco17");
  EstimatorPoses poses;
  poses.joints = own_joints(skeleton);
  poses.poses.push_back(pose_in("a", 17, 1));
  poses.poses.push_back(pose_in("", 17, 1));
  poses.poses.back().image_id = 9;
  write_pose_file(folder / "p.json", poses, skeleton, {&pictures, nullptr});
  const json entries = written(folder / "p.json");
  EXPECT_EQ(entries[0]["file_name"], "sub/a.PNG");
  EXPECT_EQ(entries[1]["file_name"], "000000000009.jpg");
  EXPECT_EQ(entries[1]["image_id"], 9);
}

TEST(WritePoseFile, RefusesAnEstimatorWithoutACommonJoint) {
  const TemporaryFolder folder;
  EstimatorPoses poses;
  poses.joints = {"bodyparts", {"snout", "tail"}, {}, 2};
  EXPECT_THAT(bad_input_message([&] { write_pose_file(folder / "p.json", poses, pose::Skeleton::load("coco17"), {}); }),
              HasSubstr("snout, tail"));
}

TEST(PictureFolder, RefusesAmbiguousNames) {
  const TemporaryFolder folder;
  folder.write("x/a.jpg", "");
  folder.write("y/a.jpg", "");
  const PictureFolder pictures(folder.path(), &fixed_size);
  EXPECT_EQ(pictures.find("x/a.jpg"), "x/a.jpg");
  EXPECT_EQ(pictures.find("b"), std::nullopt);
  EXPECT_THAT(bad_input_message([&] { (void)pictures.find("a"); }), HasSubstr("y/a.jpg"));
}

// Random people of random pictures, some joints missing, through every format and back.
class RoundTrip : public ::testing::TestWithParam<std::string> {};

std::string random_poses(uint64_t seed, bool with_box) {
  json entries = json::array();
  Rng rng(seed, 0, 0);
  for (int picture = 1; picture <= 4; ++picture) {
    const uint32_t people = 1 + rng.below(3);
    for (uint32_t p = 0; p < people; ++p) {
      std::vector<double> keypoints;
      for (int j = 0; j < 17; ++j) {
        const bool found = j == 0 || rng.uniform() < 0.8;
        // Three decimals, as pose files have them.
        const double x = std::round(rng.uniform(1, 600) * 1000) / 1000,
                     y = std::round(rng.uniform(1, 400) * 1000) / 1000;
        const double score = std::round(rng.uniform(0.01, 1) * 1000) / 1000;
        keypoints.insert(keypoints.end(), {found ? x : 0, found ? y : 0, found ? score : 0});
      }
      json entry = {{"image_id", picture}, {"category_id", 1}, {"keypoints", keypoints}, {"score", 0.125 * (p + 1)}};
      if (with_box) entry["bbox"] = {10.5, 20.25, 300, 200};
      entries.push_back(entry);
    }
  }
  return entries.dump();
}

TEST_P(RoundTrip, KeepsEveryJoint) {
  const PoseFormat& format = pose_format(GetParam().substr(0, GetParam().find('_')));
  const pose::Skeleton skeleton = pose::Skeleton::load("coco17");
  const JointSet joints = std::string(format.joints).empty() ? own_joints(skeleton) : joint_set(format.joints);
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const TemporaryFolder folder;
    for (int picture = 1; picture <= 4; ++picture) folder.write(fmt::format("images/{:012}.jpg", picture), "");
    const PictureFolder pictures(folder / "images", &fixed_size);
    const PictureNames names{&pictures, nullptr};
    const auto in = folder.write("in.json", random_poses(seed, seed % 2 == 0));
    const std::filesystem::path theirs = folder / (GetParam().ends_with("_csv") ? "theirs.csv" : "theirs.json");
    if (format.writes_folder) std::filesystem::create_directories(theirs);
    format.write(read_pose_file(in, skeleton, joints, names), {theirs, pictures});
    write_pose_file(folder / "out.json", format.read({theirs, pictures, ""}), skeleton, names);
    const json before = written(in), after = written(folder / "out.json");
    ASSERT_EQ(after.size(), before.size());
    for (size_t i = 0; i < before.size(); ++i) {
      EXPECT_EQ(after[i]["image_id"], before[i]["image_id"]);
      for (size_t k = 0; k < 51; ++k) {
        EXPECT_NEAR(after[i]["keypoints"][k].get<double>(), before[i]["keypoints"][k].get<double>(), 1e-9);
      }
      if (GetParam() == "alphapose" || GetParam() == "coco" || GetParam() == "mmpose" || GetParam() == "yolo") {
        EXPECT_EQ(after[i]["score"], before[i]["score"]);
      }
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Formats, RoundTrip,
                         ::testing::Values("openpose", "alphapose", "mmpose", "yolo", "mediapipe", "mediapipe_csv",
                                           "coco", "deeplabcut_csv"),
                         [](const auto& test) { return test.param; });

TEST(ReadPoseFile, MakesTheMiddlesThatTheSkeletonLacks) {
  const TemporaryFolder folder;
  const pose::Skeleton skeleton = pose::Skeleton::load("coco17");
  std::vector<double> keypoints(51, 0);
  const auto set = [&](const char* joint, double x, double y, double score) {
    const size_t j = static_cast<size_t>(skeleton.find(joint));
    keypoints[3 * j] = x, keypoints[3 * j + 1] = y, keypoints[3 * j + 2] = score;
  };
  set("left_shoulder", 10, 20, 0.5);
  set("right_shoulder", 30, 24, 0.25);
  set("left_hip", 5, 5, 1);
  const json entries = {{{"image_id", 1}, {"category_id", 1}, {"keypoints", keypoints}, {"score", 1}}};
  const EstimatorPoses poses =
      read_pose_file(folder.write("p.json", entries.dump()), skeleton, joint_set("openpose_body25"), {});
  const pose::Keypoint neck = poses.poses[0].keypoints[1];
  EXPECT_EQ(neck.x, 20);
  EXPECT_EQ(neck.y, 22);
  EXPECT_EQ(neck.score, 0.25);
  EXPECT_EQ(poses.poses[0].keypoints[8].score, 0);  // one hip alone has no middle
}

TEST(WriteFolders, RefuseToWriteTwoPicturesIntoOneFile) {
  EstimatorPoses poses;
  poses.poses.push_back(pose_in("a/1.jpg", 1, 1));
  poses.poses.push_back(pose_in("b/1.jpg", 1, 1));
  EXPECT_THAT(bad_input_message([&] { by_picture_stem(poses); }), HasSubstr("b/1.jpg"));
}

}  // namespace
}  // namespace posefix::dataset::formats
