#include "dataset/formats/dataset_formats.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/testing/bad_input_message.h"
#include "base/testing/project_folder.h"
#include "base/testing/temporary_folder.h"
#include "dataset/formats/aic.h"
#include "dataset/formats/crowdpose.h"
#include "dataset/formats/lsp.h"
#include "dataset/formats/mat_file.h"
#include "dataset/formats/mpii.h"
#include "dataset/formats/posetrack.h"

namespace posefix::dataset::formats {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

std::filesystem::path data(const std::string& name) { return posefix::project_folder() / "tests/data/formats" / name; }

PictureSize fixed_size(const std::filesystem::path&) { return {100, 80}; }

DatasetSource source(const std::filesystem::path& folder) { return {folder, {}, &fixed_size}; }

const AnnotationSet& split(const Conversion& conversion, const std::string& name) {
  for (const Split& s : conversion.splits) {
    if (s.name == name) return s.set;
  }
  ADD_FAILURE() << "no split " << name;
  static const AnnotationSet none;
  return none;
}

TEST(DatasetFormats, UnknownOnesGetTheNearest) {
  EXPECT_THAT(bad_input_message([] { dataset_format("posetrak"); }), HasSubstr("'posetrack'"));
}

// The .mat was written by SciPy and converted by the rules of the original's converter, in Python.
TEST(Mpii, MatFileGivesWhatTheOriginalConverterGives) {
  const Conversion conversion = read_mpii(source(data("mpii")));
  std::ifstream file(data("mpii/expected_train.json"));
  const json expected = json::parse(file);
  const AnnotationSet& train = split(conversion, "train");
  ASSERT_EQ(train.coco.images.size(), expected["images"].size());
  for (size_t i = 0; i < train.coco.images.size(); ++i) {
    EXPECT_EQ(train.coco.images[i].id, expected["images"][i]["id"]);
    EXPECT_EQ(train.coco.images[i].file_name, expected["images"][i]["file_name"]);
  }
  ASSERT_EQ(train.coco.annotations.size(), expected["annotations"].size());
  for (size_t i = 0; i < train.coco.annotations.size(); ++i) {
    const Annotation& person = train.coco.annotations[i];
    const json& want = expected["annotations"][i];
    EXPECT_EQ(person.image_id, want["image_id"]);
    EXPECT_EQ(person.bbox.x, want["bbox"][0]);
    EXPECT_EQ(person.bbox.y, want["bbox"][1]);
    EXPECT_EQ(person.bbox.w, want["bbox"][2]);
    EXPECT_EQ(person.bbox.h, want["bbox"][3]);
    EXPECT_EQ(person.area, want["area"]);
    EXPECT_EQ(person.num_keypoints, want["num_keypoints"]);
    for (size_t j = 0; j < 16; ++j) {
      EXPECT_EQ(person.keypoints[j].x, want["keypoints"][3 * j]);
      EXPECT_EQ(person.keypoints[j].y, want["keypoints"][3 * j + 1]);
      EXPECT_EQ(person.keypoints[j].score, want["v"][j]);
    }
    ASSERT_NE(find_field(train.annotation_fields[i], "bbox_head"), nullptr);
    EXPECT_EQ(json::parse(*find_field(train.annotation_fields[i], "bbox_head")), want["bbox_head"]);
  }
  EXPECT_EQ(split(conversion, "test").coco.images.size(), 1U);
  EXPECT_TRUE(split(conversion, "test").coco.annotations.empty());
}

TEST(Mpii, ListComesBackAsItWas) {
  const TemporaryFolder folder;
  json joints = json::array(), flags = json::array();
  for (int j = 0; j < 16; ++j) {
    flags.push_back(j == 3 ? 0 : 1);
    joints.push_back(j == 3 ? json{-1.0, -1.0} : json{10.5 + j, 20.25 * (j + 1)});
  }
  const json list = {
      {{"joints_vis", flags}, {"joints", joints}, {"image", "000123.jpg"}, {"scale", 1.75}, {"center", {5.0, 6.5}}},
      {{"joints_vis", flags}, {"joints", joints}, {"image", "000007.jpg"}, {"scale", 2.5}, {"center", {1.0, 2.0}}}};
  folder.write("train.json", list.dump(2));
  const Conversion conversion = read_mpii(source(folder.path()));
  const AnnotationSet& set = split(conversion, "train");
  EXPECT_EQ(set.coco.images[0].id, 123);
  EXPECT_EQ(set.coco.images[0].file_name, "images/000123.jpg");
  EXPECT_EQ(set.coco.annotations[1].num_keypoints, 15);
  write_annotation_set(folder / "coco.json", set);
  std::filesystem::create_directories(folder / "out");
  write_mpii(read_coco_splits(folder / "coco.json", "mpii16"), folder / "out");
  std::ifstream out(folder / "out/coco.json");
  EXPECT_EQ(json::parse(out), list);
}

TEST(Mpii, NamesWhatIsWrongInAList) {
  const TemporaryFolder folder;
  const auto message = [&](const std::string& text) {
    const auto path = folder.write("bad.json", text);
    return bad_input_message([&] { read_mpii(source(path)); });
  };
  EXPECT_THAT(message(R"([{"image":"a.jpg","joints":[[1,2]],"joints_vis":[1]}])"), HasSubstr("/0/joints"));
  EXPECT_THAT(message(R"([{"image":"a.jpg","joints":[[1,2,3]]}])"), HasSubstr("/0/joints/0"));
  EXPECT_THAT(message(R"([{"joints_vis":[1]}])"), HasSubstr("expected 16 flags"));
  EXPECT_THAT(message(R"([{"scale":1}])"), HasSubstr("'image'"));
  EXPECT_THAT(message(R"([{"image":)"), HasSubstr("byte"));
  EXPECT_THAT(message(R"({"images":3})"), HasSubstr("/images"));
  EXPECT_THAT(bad_input_message([&] { read_mpii(source(folder / "nowhere")); }), HasSubstr("no such folder"));
}

class LspTest : public ::testing::TestWithParam<bool> {};

// Both fixtures were written by SciPy; joints.txt holds their numbers a joint a line.
TEST_P(LspTest, ReadsScipysFileAndWritesItBack) {
  const bool extended = GetParam();
  const std::string name = extended ? "lspet" : "lsp";
  const Conversion conversion = read_lsp(source(data(name)));
  const AnnotationSet& set = split(conversion, "train");
  std::ifstream numbers(data(name + "/joints.txt"));
  for (const AnnotatedImage& image : set.coco.images) {
    const Annotation& person = set.coco.annotations[static_cast<size_t>(image.id) - 1];
    EXPECT_EQ(image.file_name, fmt::format("im{:0{}}.jpg", image.id, extended ? 5 : 4));
    for (const pose::Keypoint& joint : person.keypoints) {
      double x, y, flag;
      ASSERT_TRUE(numbers >> x >> y >> flag);
      EXPECT_EQ(joint.score, extended ? 2 * flag : 2 - flag);
      EXPECT_EQ(joint.x, joint.score > 0 ? x : 0);
      EXPECT_EQ(joint.y, joint.score > 0 ? y : 0);
    }
  }
  const TemporaryFolder folder;
  write_lsp(conversion.splits, folder.path());
  const Conversion again = read_lsp(source(folder.path()));
  const AnnotationSet& copy = split(again, "train");
  ASSERT_EQ(copy.coco.annotations.size(), set.coco.annotations.size());
  for (size_t i = 0; i < set.coco.annotations.size(); ++i) {
    for (size_t j = 0; j < 14; ++j) {
      EXPECT_EQ(copy.coco.annotations[i].keypoints[j].x, set.coco.annotations[i].keypoints[j].x);
      EXPECT_EQ(copy.coco.annotations[i].keypoints[j].score, set.coco.annotations[i].keypoints[j].score);
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Both, LspTest, ::testing::Bool());

TEST(Lsp, PicturesDecideWhoIsKeptAndCutTheBoxes) {
  const TemporaryFolder folder;
  std::filesystem::copy_file(data("lspet/joints.mat"), folder / "joints.mat");
  folder.write("images/val/im00002.jpg", "");
  folder.write("images/train/im00004.jpg", "");
  const Conversion conversion = read_lsp(source(folder.path()));
  ASSERT_EQ(conversion.splits.size(), 2U);
  const AnnotationSet& val = split(conversion, "val");
  ASSERT_EQ(val.coco.annotations.size(), 1U);
  EXPECT_EQ(val.coco.annotations[0].id, 2);
  EXPECT_EQ(val.coco.images[0].file_name, "im00002.jpg");
  EXPECT_EQ(val.coco.images[0].width, 100);
  EXPECT_LE(val.coco.annotations[0].bbox.x + val.coco.annotations[0].bbox.w, 100);
  EXPECT_DOUBLE_EQ(val.coco.annotations[0].area,
                   0.53 * val.coco.annotations[0].bbox.w * val.coco.annotations[0].bbox.h);
}

TEST(Lsp, RefusesOtherShapesAndFlags) {
  const TemporaryFolder folder;
  const std::vector<double> values(84, 3.0);
  const size_t wrong[] = {2, 14, 3};
  write_mat_array(folder / "joints.mat", "joints", wrong, values);
  EXPECT_THAT(bad_input_message([&] { read_lsp(source(folder.path())); }), HasSubstr("[2, 14, 3]"));
  const size_t right[] = {3, 14, 2};
  write_mat_array(folder / "joints.mat", "joints", right, values);
  EXPECT_THAT(bad_input_message([&] { read_lsp(source(folder.path())); }), HasSubstr("flag 3"));
}

TEST(Lsp, WritesOnlyWhatItsFormCanSay) {
  const TemporaryFolder folder;
  const auto with_name = [](const std::string& name) {
    Split s{"train", {"lsp14", {}, {}, {}}};
    AnnotatedImage image;
    image.id = 1;
    image.file_name = name;
    s.set.add_image(image);
    Annotation person;
    person.image_id = 1;
    person.keypoints.resize(14);
    person.keypoints[0] = {1, 2, 2};
    s.set.add_annotation(person);
    return s;
  };
  const Split lsp = with_name("im0001.jpg"), extended = with_name("im00001.jpg"), other = with_name("a.jpg");
  EXPECT_THAT(bad_input_message([&] { write_lsp({&lsp, 1}, folder.path()); }), HasSubstr("imNNNNN.jpg"));
  EXPECT_THAT(bad_input_message([&] { write_lsp({&other, 1}, folder.path()); }), HasSubstr("'a.jpg'"));
  write_lsp({&extended, 1}, folder.path());
  EXPECT_TRUE(std::filesystem::exists(folder / "joints.mat"));
}

std::string posetrack_video(int64_t first_id, const std::string& video) {
  std::string joints;
  for (int j = 0; j < 17; ++j)
    joints += fmt::format("{}{},{},{}", j == 0 ? "" : ",", 10.5 + j, 20, j == 3 || j == 4 ? 0 : 1);
  return fmt::format(R"({{"images":[{{"id":{0},"file_name":"images/val/{1}/000000.jpg","vid_id":"{1}",
    "ignore_regions_x":[[1,2]]}}],"annotations":[{{"id":{0}00,"image_id":{0},"category_id":1,"track_id":0,
    "bbox":[1,2,30,40.5],"bbox_head":[1,2,3,4],"scores":[],"keypoints":[{2}]}},
    {{"id":{0}01,"image_id":{0},"category_id":1,"track_id":1,"bbox":[1,2,30,40],"keypoints":[{3}]}}]}})",
                     first_id, video, joints, fmt::format("{}", fmt::join(std::vector<int>(51, 0), ",")));
}

TEST(PoseTrack, JoinsVideosAndTakesThemApartAgain) {
  const TemporaryFolder folder;
  folder.write("annotations/val/b.json", posetrack_video(200, "b"));
  folder.write("annotations/val/a.json", posetrack_video(100, "a"));
  folder.write("annotations/detections.json", "[]");
  const Conversion conversion = read_posetrack(source(folder.path()));
  ASSERT_EQ(conversion.splits.size(), 1U);
  const AnnotationSet& set = split(conversion, "val2018");
  ASSERT_EQ(set.coco.annotations.size(), 4U);
  EXPECT_EQ(set.coco.images[0].id, 100);
  EXPECT_EQ(set.coco.annotations[0].num_keypoints, 15);
  EXPECT_EQ(set.coco.annotations[0].area, 30 * 40.5);
  EXPECT_EQ(set.coco.annotations[1].num_keypoints, 0);
  EXPECT_EQ(set.coco.annotations[1].bbox.w, 0);
  write_posetrack(conversion.splits, folder / "out");
  const Conversion again = read_posetrack(source(folder / "out"));
  const AnnotationSet& copy = split(again, "val2018");
  ASSERT_EQ(copy.coco.annotations.size(), 4U);
  EXPECT_TRUE(std::filesystem::exists(folder / "out/val/a.json"));
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(copy.coco.annotations[i].id, set.coco.annotations[i].id);
    ASSERT_EQ(copy.annotation_fields[i].size(), set.annotation_fields[i].size());
    for (size_t f = 0; f < set.annotation_fields[i].size(); ++f) {
      EXPECT_EQ(copy.annotation_fields[i][f].json, set.annotation_fields[i][f].json);
    }
  }
}

TEST(PoseTrack, LooksAtOriginalAnnotationsFirst) {
  const TemporaryFolder folder;
  folder.write("original_annotations/train/a.json", posetrack_video(100, "a"));
  folder.write("annotations/val2018.json", posetrack_video(200, "b"));
  const Conversion conversion = read_posetrack(source(folder.path()));
  ASSERT_EQ(conversion.splits.size(), 1U);
  EXPECT_EQ(conversion.splits[0].name, "train2018");
}

TEST(PoseTrack, RefusesIdsThatComeTwice) {
  const TemporaryFolder folder;
  folder.write("annotations/val/a.json", posetrack_video(100, "a"));
  folder.write("annotations/val/b.json", posetrack_video(100, "b"));
  const std::string message = bad_input_message([&] { read_posetrack(source(folder.path())); });
  EXPECT_THAT(message, HasSubstr("b.json"));
  EXPECT_THAT(message, HasSubstr("/images/0/id"));
}

TEST(PoseTrack, SaysWhatItExpects) {
  const TemporaryFolder folder;
  EXPECT_THAT(bad_input_message([&] { read_posetrack(source(folder.path())); }), HasSubstr("train,val,test"));
}

TEST(CrowdPose, GetsAnAreaAndKeepsTheCrowdIndex) {
  const TemporaryFolder folder;
  std::string joints;
  for (int j = 0; j < 14; ++j) joints += fmt::format("{}{},{},{}", j == 0 ? "" : ",", j, j, j < 4 ? 0 : 2);
  folder.write("crowdpose_val.json", fmt::format(R"({{"images":[{{"id":5,"file_name":"5.jpg","width":10,"height":20,
    "crowdIndex":0.76}}],"annotations":[{{"id":1,"image_id":5,"category_id":1,"iscrowd":0,"num_keypoints":9,
    "bbox":[1,2,10,20],"keypoints":[{}]}}],"categories":[{{"id":1,"name":"person","keypoints":["left_shoulder",
    "right_shoulder","left_elbow","right_elbow","left_wrist","right_wrist","left_hip","right_hip","left_knee",
    "right_knee","left_ankle","right_ankle","head","neck"]}}]}})",
                                                 joints));
  const Conversion conversion = read_crowdpose(source(folder.path()));
  const AnnotationSet& set = split(conversion, "crowdpose_val");
  EXPECT_DOUBLE_EQ(set.coco.annotations[0].area, 0.53 * 200);
  EXPECT_EQ(set.coco.annotations[0].num_keypoints, 10);
  EXPECT_EQ(*find_field(set.image_fields[0], "crowdIndex"), "0.76");
  ASSERT_EQ(conversion.notes.size(), 1U);
}

TEST(Aic, ComesBackAsItWas) {
  const TemporaryFolder folder;
  std::vector<double> first, second(42, 0);
  for (int j = 0; j < 14; ++j) {
    const int v = 1 + j % 3;
    first.insert(first.end(), {v == 3 ? 0.0 : 10.5 + j, v == 3 ? 0.0 : 3.0 * j, double(v)});
    second[static_cast<size_t>(3 * j + 2)] = 3;
  }
  const json list = {
      {{"image_id", "abc"},
       {"url", "http://a/b"},
       {"human_annotations", {{"human2", {1, 2, 30, 40}}, {"human1", {5, 6, 7, 8.5}}}},
       {"keypoint_annotations", {{"human2", first}, {"human1", second}}}},
      {{"image_id", "def"}, {"human_annotations", json::object()}, {"keypoint_annotations", json::object()}}};
  folder.write("keypoint_train_annotations_20170909.json", list.dump());
  const Conversion conversion = read_aic(source(folder.path()));
  const AnnotationSet& set = split(conversion, "train");
  ASSERT_EQ(set.coco.annotations.size(), 2U);
  const Annotation& person =
      set.coco.annotations[*find_field(set.annotation_fields[0], "human") == "\"human2\"" ? 0 : 1];
  EXPECT_EQ(person.keypoints[0].score, 2);
  EXPECT_EQ(person.keypoints[1].score, 1);
  EXPECT_EQ(person.keypoints[2].score, 0);
  EXPECT_EQ(person.bbox.w, 29);
  EXPECT_EQ(set.coco.images[0].file_name, "abc.jpg");
  std::filesystem::create_directories(folder / "coco");
  write_annotation_set(folder / "coco/train.json", set);
  std::filesystem::create_directories(folder / "out");
  write_aic(read_coco_splits(folder / "coco", "aic14"), folder / "out");
  std::ifstream out(folder / "out/train.json");
  EXPECT_EQ(json::parse(out), list);
}

TEST(Aic, NamesWhatIsWrong) {
  const TemporaryFolder folder;
  const auto message = [&](const std::string& text) {
    const auto path = folder.write("bad.json", text);
    return bad_input_message([&] { read_aic(source(path)); });
  };
  const std::string joints = fmt::format("{}", fmt::join(std::vector<int>(42, 4), ","));
  EXPECT_THAT(message(R"([{"image_id":"a"}])"), HasSubstr("'keypoint_annotations'"));
  EXPECT_THAT(message(R"([{"keypoint_annotations":{}}])"), HasSubstr("'image_id'"));
  EXPECT_THAT(message(R"([{"image_id":"a","keypoint_annotations":{"human1":[1,2,3]}}])"),
              HasSubstr("/0/keypoint_annotations/human1"));
  EXPECT_THAT(message(R"([{"image_id":"a","keypoint_annotations":{"human1":[)" + joints + "]}}]"),
              HasSubstr("visibility 4"));
  EXPECT_THAT(message(R"([{"image_id":"a","human_annotations":{"human1":[1,2]}}])"), HasSubstr("x1, y1, x2, y2"));
  EXPECT_THAT(message("{}"), HasSubstr("expected a list"));
}

}  // namespace
}  // namespace posefix::dataset::formats
