// What each estimator's files look like, and what is said about broken ones.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/bad_input_message.h"
#include "base/testing/temporary_folder.h"
#include "dataset/formats/alphapose.h"
#include "dataset/formats/csv.h"
#include "dataset/formats/deeplabcut.h"
#include "dataset/formats/estimator_poses.h"
#include "dataset/formats/mediapipe.h"
#include "dataset/formats/mmpose.h"
#include "dataset/formats/openpose.h"
#include "dataset/formats/yolo.h"

namespace posefix::dataset::formats {
namespace {

using ::testing::HasSubstr;

PictureSize fixed_size(const std::filesystem::path&) { return {200, 100}; }

// "1,2,0.5,1,2,0.5,..."
std::string repeated(const std::string& text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += fmt::format("{}{}", i == 0 ? "" : ",", text);
  return out;
}

std::string cat(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (const std::string_view part : parts) out += part;
  return out;
}

struct Estimators : ::testing::Test {
  TemporaryFolder folder;

  PoseSource source(const std::string& name, const std::string& text, const std::string& joints = "") const {
    return {folder.write(name, text), {}, joints};
  }
  template <typename Read>
  std::string message(Read read, const std::string& name, const std::string& text) const {
    return bad_input_message([&] { read(source(name, text)); });
  }
};

using OpenPose = Estimators;
TEST_F(OpenPose, ReadsPeopleOfBothModels) {
  const auto people = [](int joints) {
    return fmt::format(
        R"({{"version":1.3,"people":[{{"person_id":[-1],"pose_keypoints_2d":[{}],"face_keypoints_2d":[]}},
      {{"pose_keypoints_2d":[]}}]}})",
        repeated("12.5,40,0.5", joints));
  };
  const EstimatorPoses body25 = read_openpose(source("a_keypoints.json", people(25)));
  EXPECT_EQ(body25.joints.name, "openpose_body25");
  ASSERT_EQ(body25.poses.size(), 1U);
  EXPECT_EQ(body25.poses[0].picture, "a");
  EXPECT_EQ(body25.poses[0].keypoints[24].y, 40);
  EXPECT_EQ(read_openpose(source("a_keypoints.json", people(18))).joints.name, "openpose_coco18");
}

TEST_F(OpenPose, NamesWhatIsWrong) {
  EXPECT_THAT(message(&read_openpose, "a.json", "[]"), HasSubstr("expected an object"));
  EXPECT_THAT(message(&read_openpose, "a.json", R"({"version":1})"), HasSubstr("'people'"));
  EXPECT_THAT(message(&read_openpose, "a.json", R"({"people":[{}]})"), HasSubstr("/people/0"));
  EXPECT_THAT(message(&read_openpose, "a.json", R"({"people":[{"pose_keypoints_2d":[1,2]}]})"), HasSubstr("triples"));
  EXPECT_THAT(message(&read_openpose, "a.json", R"({"people":[{"pose_keypoints_2d":[1,2,1]}]})"),
              HasSubstr("--joints"));
  EXPECT_THAT(message(&read_openpose, "a.json",
                      fmt::format(R"({{"people":[{{"pose_keypoints_2d":[{}]}}]}})", repeated("0.5,0.4,0.9", 25))),
              HasSubstr("keypoint_scale"));
  EXPECT_THAT(bad_input_message([&] { read_openpose({folder / "none", {}, ""}); }), HasSubstr("none"));
  std::filesystem::create_directories(folder / "empty");
  EXPECT_THAT(bad_input_message([&] { read_openpose({folder / "empty", {}, ""}); }), HasSubstr(".json"));
}

using AlphaPose = Estimators;
TEST_F(AlphaPose, ReadsNamesAndNumbers) {
  const EstimatorPoses poses = read_alphapose(
      source("r.json",
             fmt::format(
                 R"([{{"image_id":"x.jpg","category_id":1,"keypoints":[{0}],"score":2.75,"box":[1,2,3,4],"idx":[0.0]}},
          {{"image_id":42,"category_id":1,"keypoints":[{0}],"score":0.5}}])",
                 repeated("1,2,0.5", 26))));
  EXPECT_EQ(poses.joints.name, "halpe26");
  EXPECT_EQ(poses.poses[0].picture, "x.jpg");
  EXPECT_EQ(poses.poses[0].score, 2.75);
  EXPECT_EQ(poses.poses[0].box->h, 4);
  EXPECT_EQ(*find_field(poses.poses[0].fields, "idx"), "[0.0]");
  EXPECT_EQ(poses.poses[1].image_id, 42);
  // The face and the hands of 136 joints are left out.
  const auto whole =
      source("w.json", fmt::format(R"([{{"image_id":"x.jpg","keypoints":[{}],"score":1}}])", repeated("1,2,0.5", 136)));
  EXPECT_EQ(read_alphapose(whole).poses[0].keypoints.size(), 26U);
}

TEST_F(AlphaPose, NamesWhatIsWrong) {
  EXPECT_THAT(message(&read_alphapose, "a.json", R"({"x.jpg":{}})"), HasSubstr("--format"));
  EXPECT_THAT(message(&read_alphapose, "a.json", R"([{"keypoints":[1,2,1]}])"), HasSubstr("/0/keypoints"));
  EXPECT_THAT(message(&read_alphapose, "a.json", fmt::format(R"([{{"keypoints":[{}]}}])", repeated("1,2,1", 17))),
              HasSubstr("'image_id'"));
  EXPECT_THAT(message(&read_alphapose, "a.json",
                      fmt::format(R"([{{"image_id":1,"keypoints":[{}]}},{{"image_id":1,"keypoints":[{}]}}])",
                                  repeated("1,2,1", 17), repeated("1,2,1", 26))),
              HasSubstr("/1/keypoints"));
}

using Mmpose = Estimators;
TEST_F(Mmpose, ReadsAllItsForms) {
  const std::string instance =
      fmt::format(R"({{"keypoints":[{}],"keypoint_scores":[{}],"bbox":[[10,20,40,60]],"bbox_score":0.75}})",
                  repeated("[5.5,6]", 17), repeated("0.5", 17));
  const auto expect_one = [](const EstimatorPoses& poses) {
    ASSERT_EQ(poses.poses.size(), 1U);
    EXPECT_EQ(poses.poses[0].keypoints[16].x, 5.5);
    EXPECT_EQ(poses.poses[0].keypoints[16].score, 0.5);
    EXPECT_EQ(poses.poses[0].box->w, 30);
    EXPECT_EQ(poses.poses[0].score, 0.75);
  };
  const EstimatorPoses inferencer = read_mmpose(source("a.json", cat({"[", instance, "]"})));
  expect_one(inferencer);
  EXPECT_EQ(inferencer.poses[0].picture, "a");
  const EstimatorPoses demo = read_mmpose(source("results_b.json", cat({R"({"instance_info":[)", instance, "]}"})));
  expect_one(demo);
  EXPECT_EQ(demo.poses[0].picture, "b");
  const EstimatorPoses video = read_mmpose(source("v.json", cat({R"([{"frame_id":3,"instances":[)", instance, "]}]"})));
  expect_one(video);
  EXPECT_EQ(video.poses[0].image_id, 3);
  const EstimatorPoses test = read_mmpose(
      source("keypoints.json",
             fmt::format(R"([{{"image_id":7,"category_id":1,"keypoints":[{}],"score":0.75,"bbox":[1,2,30,4]}}])",
                         repeated("5.5,6,0.5", 17))));
  expect_one(test);
  EXPECT_EQ(test.poses[0].image_id, 7);
}

TEST_F(Mmpose, TakesNamesFromMetaInfo) {
  const EstimatorPoses poses = read_mmpose(source("results_a.json", R"({"instance_info":[{"keypoints":[[1,2],[3,4]],
    "keypoint_scores":[0.5,0.25]}],"meta_info":{"dataset_name":"x","keypoint_id2name":{"0":"nose","1":"l_ankle"}}})"));
  EXPECT_EQ(poses.joints.joints, (std::vector<std::string>{"nose", "left_ankle"}));
  EXPECT_EQ(poses.poses[0].keypoints[1].x, 3);
}

TEST_F(Mmpose, NamesWhatIsWrong) {
  EXPECT_THAT(message(&read_mmpose, "a.json", "{}"), HasSubstr("'instance_info'"));
  EXPECT_THAT(message(&read_mmpose, "a.json", "[{}]"), HasSubstr("'keypoints'"));
  EXPECT_THAT(message(&read_mmpose, "a.json", R"([{"keypoints":[[1,2],[3]]}])"), HasSubstr("/0/keypoints/1"));
  EXPECT_THAT(message(&read_mmpose, "a.json", fmt::format(R"([{{"keypoints":[{}]}}])", repeated("[1,2]", 17))),
              HasSubstr("'keypoint_scores'"));
  EXPECT_THAT(message(&read_mmpose, "a.json",
                      fmt::format(R"([{{"keypoints":[{}],"keypoint_scores":[{}]}}])", repeated("[1,2]", 14),
                                  repeated("1", 14))),
              HasSubstr("--joints"));
}

using Yolo = Estimators;
TEST_F(Yolo, ReadsLabelsAndResults) {
  folder.write("images/a.jpg", "");
  const PictureFolder pictures(folder / "images", &fixed_size);
  const auto read = [&](const std::string& joint, const std::string& rest) {
    std::string line = "0 0.5 0.5 0.25 0.5";
    for (int j = 0; j < 17; ++j) line += cat({" ", joint});
    return read_yolo({folder.write("labels/a.txt", cat({line, rest, "\n\n"})), pictures, ""});
  };
  const EstimatorPoses label = read("0.25 0.5 2", "");
  ASSERT_EQ(label.poses.size(), 1U);
  EXPECT_EQ(label.poses[0].picture, "a");
  EXPECT_EQ(label.poses[0].keypoints[3].x, 50);
  EXPECT_EQ(label.poses[0].keypoints[3].y, 50);
  EXPECT_EQ(label.poses[0].keypoints[3].score, 1);
  EXPECT_EQ(label.poses[0].box->x, 75);
  EXPECT_EQ(label.poses[0].box->w, 50);
  EXPECT_EQ(label.poses[0].score, std::nullopt);
  const EstimatorPoses result = read("0.25 0.5 0.75", " 0.875 12");
  EXPECT_EQ(result.poses[0].keypoints[3].score, 0.75);
  EXPECT_EQ(result.poses[0].score, 0.875);
  EXPECT_EQ(read("0.25 0.5", " 0.875").poses[0].score, 0.875);
  EXPECT_EQ(read("0 0 0", "").poses[0].keypoints[0].score, 0);
}

TEST_F(Yolo, ReadsJson) {
  const EstimatorPoses poses = read_yolo(
      source("a.json", fmt::format(
                           R"([{{"name":"person","class":0,"confidence":0.75,"box":{{"x1":1,"y1":2,"x2":11,"y2":22}},
          "keypoints":{{"x":[{0}],"y":[{0}],"visible":[{1}]}}}}])",
                           repeated("8", 17), repeated("0.5", 17))));
  EXPECT_EQ(poses.poses[0].box->h, 20);
  EXPECT_EQ(poses.poses[0].keypoints[16].score, 0.5);
  const EstimatorPoses validation = read_yolo(
      source("predictions.json",
             fmt::format(R"([{{"image_id":"b","category_id":1,"keypoints":[{}],"score":0.5,"bbox":[1,2,3,4]}}])",
                         repeated("1,2,0.5", 17))));
  EXPECT_EQ(validation.poses[0].picture, "b");
}

TEST_F(Yolo, NamesWhatIsWrong) {
  folder.write("images/a.jpg", "");
  const PictureFolder pictures(folder / "images", &fixed_size);
  const auto wrong = [&](const std::string& name, const std::string& text, const PictureFolder& where) {
    return bad_input_message([&] { read_yolo({folder.write(name, text), where, ""}); });
  };
  EXPECT_THAT(wrong("a.txt", "0 0.5", pictures), HasSubstr("line 1: 2 fields"));
  EXPECT_THAT(wrong("a.txt", "\n0 0.5 x", pictures), HasSubstr("line 2: field 3"));
  EXPECT_THAT(wrong("a.txt", "0 nan", pictures), HasSubstr("'nan'"));
  EXPECT_THAT(wrong("a.txt", "0 0.5", {}), HasSubstr("--images"));
  EXPECT_THAT(wrong("b.txt", "0 0.5", pictures), HasSubstr("is not in"));
}

using MediaPipe = Estimators;
TEST_F(MediaPipe, ReadsAllJsonForms) {
  folder.write("images/a.jpg", "");
  const PictureFolder pictures(folder / "images", &fixed_size);
  const std::string list = cat({"[", repeated(R"({"x":0.5,"y":0.25,"z":-0.1,"visibility":0.75})", 33), "]"});
  for (const std::string& text :
       {list, cat({R"({"landmark":)", list, "}"}), cat({"[", list, "]"}), cat({R"({"poseLandmarks":[)", list, "]}"}),
        cat({R"({"landmarks":)", list, "}"}),
        cat({R"([{"pose_landmarks":[)", list, R"(],"file_name":"a.jpg","height":100,"width":200}])"}),
        cat({R"({"image":"a.jpg","pose_landmarks":{"landmark":)", list, "}}"})}) {
    SCOPED_TRACE(text.substr(0, 60));
    const EstimatorPoses poses = read_mediapipe({folder.write("a.json", text), pictures, ""});
    ASSERT_EQ(poses.poses.size(), 1U);
    EXPECT_EQ(std::filesystem::path(poses.poses[0].picture).stem(), "a");
    EXPECT_EQ(poses.poses[0].keypoints[32].x, 100);
    EXPECT_EQ(poses.poses[0].keypoints[32].y, 25);
    EXPECT_EQ(poses.poses[0].keypoints[32].score, 0.75);
  }
  const EstimatorPoses two = read_mediapipe({folder.write("a.json", cat({"[", list, ",", list, "]"})), pictures, ""});
  EXPECT_EQ(two.poses.size(), 2U);
  EXPECT_TRUE(read_mediapipe({folder.write("a.json", R"({"pose_landmarks":null})"), pictures, ""}).poses.empty());
}

TEST_F(MediaPipe, ReadsWideAndLongCsv) {
  std::string named = "image,width,height", numbered = "filename,width,height", values, wide_values;
  std::string tall = "file_name,person,landmark,x,y,visibility\n";
  const JointSet set = joint_set("mediapipe33");
  for (int j = 0; j < 33; ++j) {
    const std::string upper = set.joints[static_cast<size_t>(j)];
    named += fmt::format(",{0}_x,{0}_y,{0}_visibility", upper);
    numbered += fmt::format(",x{0},y{0},z{0},v{0}", j + 1);
    values += fmt::format(",{},0.5,0.75", j / 100.0);
    wide_values += fmt::format(",{},0.5,0,0.75", j / 100.0);
    tall += fmt::format("a.jpg,0,{},{},0.5,0.75\n", j % 2 == 0 ? std::to_string(j) : upper, j / 100.0);
  }
  folder.write("images/a.jpg", "");
  const PictureFolder pictures(folder / "images", &fixed_size);
  for (const std::string& text : {cat({named, "\na.jpg,200,100", values, "\n"}),
                                  cat({numbered, "\r\na.jpg,200,100", wide_values, "\r\n"}), tall}) {
    const EstimatorPoses poses = read_mediapipe({folder.write("a.csv", text), pictures, ""});
    ASSERT_EQ(poses.poses.size(), 1U);
    for (size_t j = 0; j < 33; ++j) {
      EXPECT_DOUBLE_EQ(poses.poses[0].keypoints[j].x, 2.0 * double(j));
      EXPECT_EQ(poses.poses[0].keypoints[j].score, 0.75);
    }
  }
}

TEST_F(MediaPipe, NamesWhatIsWrong) {
  EXPECT_THAT(message(&read_mediapipe, "a.json", R"([{"x":1,"y":2}])"), HasSubstr("expected 33 landmarks, got 1"));
  EXPECT_THAT(message(&read_mediapipe, "a.json", "{}"), HasSubstr("expected landmarks"));
  const std::string list = cat({"[", repeated(R"({"x":0.5,"y":0.25})", 33), "]"});
  EXPECT_THAT(message(&read_mediapipe, "a.json", list), HasSubstr("--images"));
  EXPECT_THAT(message(&read_mediapipe, "a.json",
                      cat({R"({"width":9,"height":9,"landmarks":[)", repeated(R"({"x":300,"y":0.25})", 33), "]}"})),
              HasSubstr("pixels"));
  EXPECT_THAT(message(&read_mediapipe, "a.csv", ""), HasSubstr("empty"));
  EXPECT_THAT(message(&read_mediapipe, "a.csv", "a,b\n1,2\n"), HasSubstr("nose_x"));
  EXPECT_THAT(message(&read_mediapipe, "a.csv", "landmark,x,y\n40,1,2\n"), HasSubstr("line 2, column 1"));
  EXPECT_THAT(message(&read_mediapipe, "a.csv", "landmark,x,y\n0,1,2\n"), HasSubstr("has 1 of 33"));
  EXPECT_THAT(message(&read_mediapipe, "a.csv", "landmark,x,y\n0,1,z\n"), HasSubstr("'z'"));
}

using DeepLabCut = Estimators;
TEST_F(DeepLabCut, ReadsVideosLabelsAndSeveralAnimals) {
  const EstimatorPoses video = read_deeplabcut(
      source("v.csv",
             "scorer,D,D,D,D,D,D\nbodyparts,nose,nose,nose,LAnkle,LAnkle,LAnkle\ncoords,x,y,likelihood,x,y,likelihood\n"
             "0,1.5,2,0.5,3,4,0.25\n1,,,,3,4,0.75\n2,NaN,nan,0,,,\n"));
  EXPECT_EQ(video.joints.joints, (std::vector<std::string>{"nose", "left_ankle"}));
  ASSERT_EQ(video.poses.size(), 2U);
  EXPECT_EQ(video.poses[0].image_id, 0);
  EXPECT_EQ(video.poses[0].keypoints[1].score, 0.25);
  EXPECT_EQ(video.poses[1].keypoints[0].score, 0);
  const EstimatorPoses labels = read_deeplabcut(
      source("l.csv", "scorer,,,D,D\nbodyparts,,,nose,nose\ncoords,,,x,y\nlabeled-data,clip,img01.png,5,6\n"));
  EXPECT_EQ(labels.poses.at(0).picture, "labeled-data/clip/img01.png");
  EXPECT_EQ(labels.poses[0].keypoints[0].score, 1);
  const EstimatorPoses several = read_deeplabcut(source("m.csv",
                                                        "scorer,D,D,D,D\nindividuals,a,a,b,b\nbodyparts,nose,nose,nose,"
                                                        "nose\ncoords,x,y,x,y\nimg1.png,1,2,3,4\nimg2.png,,,3,4\n"));
  EXPECT_EQ(several.poses.size(), 3U);
  EXPECT_EQ(several.poses[1].keypoints[0].x, 3);
}

TEST_F(DeepLabCut, NamesWhatIsWrong) {
  EXPECT_THAT(message(&read_deeplabcut, "a.csv", "x,y\n1,2\n"), HasSubstr("scorer"));
  const std::string header = "scorer,D,D\nbodyparts,nose,nose\ncoords,x,";
  EXPECT_THAT(message(&read_deeplabcut, "a.csv", cat({header, "z\n"})), HasSubstr("line 3, column 3"));
  EXPECT_THAT(message(&read_deeplabcut, "a.csv", cat({header, "x\n"})), HasSubstr("second column"));
  EXPECT_THAT(message(&read_deeplabcut, "a.csv", cat({header, "y\n0,1,abc\n"})), HasSubstr("'abc'"));
}

TEST(Csv, FollowsTheRulesOfQuotes) {
  const TemporaryFolder folder;
  const CsvTable table = read_csv(folder.write("a.csv",
                                               "\xEF\xBB\xBF"
                                               "a,\"b,\"\"c\"\"\",\r\n\r\n\"two\nlines\",2,3"));
  ASSERT_EQ(table.rows.size(), 2U);
  EXPECT_EQ(table.rows[0], (std::vector<std::string>{"a", "b,\"c\"", ""}));
  EXPECT_EQ(table.rows[1][0], "two\nlines");
  EXPECT_EQ(table.lines[1], 3U);
  EXPECT_EQ(csv_field("b,\"c\""), "\"b,\"\"c\"\"\"");
  EXPECT_THAT(bad_input_message([&] { read_csv(folder.write("b.csv", "a\n\"b")); }), HasSubstr("line 2"));
}

TEST(PoseFormats, UnknownOnesGetTheNearest) {
  EXPECT_THAT(bad_input_message([] { pose_format("openpos"); }), HasSubstr("'openpose'"));
}

}  // namespace
}  // namespace posefix::dataset::formats
