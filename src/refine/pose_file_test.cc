#include "refine/pose_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace posefix::refine {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

class PoseFileTest : public ::testing::Test {
 protected:
  PoseFile read(const std::string& text, int joints = 2) {
    write_file_atomically(path_, text);
    return PoseFile::read(path_, joints);
  }
  std::string refusal(const std::string& text) {
    try {
      read(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), 2);
      return error.what();
    }
    return "accepted";
  }
  void TearDown() override { fs::remove(path_); }

  fs::path path_ = fs::temp_directory_path() /
                   (std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()) + "_poses.json");
};

constexpr const char* kEntry = R"({"image_id": 7, "category_id": 1, "keypoints": [1, 2, 0.5, 3, 4, 0], "score": 0.25})";

TEST_F(PoseFileTest, ReadsEntries) {
  const PoseFile file = read("[" + std::string(kEntry) +
                             R"(, {"scores": [0.25, 0.75], "bbox": [1, 2, 3, 0], "file_name": "a/b.jpg", "image_id": 8.0,
                                   "category_id": 2, "keypoints": [5, 6, 0.25, -7.5, 8e1, 0.75]}])");
  ASSERT_EQ(file.entries().size(), 2U);
  const PoseEntry& first = file.entries()[0];
  EXPECT_EQ(first.image_id, 7);
  EXPECT_EQ(first.score, 0.25);
  EXPECT_EQ(first.keypoints[1].y, 4);
  EXPECT_FALSE(first.box);
  const PoseEntry& second = file.entries()[1];
  EXPECT_EQ(second.image_id, 8);
  EXPECT_EQ(second.category_id, 2);
  EXPECT_EQ(second.score, 0.5);
  EXPECT_EQ(second.file_name, "a/b.jpg");
  EXPECT_EQ(second.box->w, 3);
  EXPECT_EQ(second.keypoints[1].x, -7.5);
}

TEST_F(PoseFileTest, RewritesKeypointsAndScoreAndNothingElse) {
  const PoseFile file = read(R"([{"track": {"a":[1,  2]}, "score":0.5, "image_id":7,"category_id":1,
    "keypoints": [1, 2, 0.5, 3, 4, 0],"note": "\u00e9"}])");
  const std::vector<double> coords{1.23456, 2, -0.0004, 1e7};
  EXPECT_EQ(file.rewritten(0, coords, 0.123456), R"({"track": {"a":[1,  2]}, "score":0.1235, "image_id":7,"category_id":1,
    "keypoints": [1.235, 2.0, 1.0, -0.0, 10000000.0, 1.0],"note": "\u00e9"})");
}

TEST_F(PoseFileTest, ScoresOfJointsStayAsTheyAre) {
  const PoseFile file =
      read(R"([{"image_id":7,"category_id":1,"keypoints":[1,2,0.5,3,4,0.3],"scores":[0.5, 0.30]}])");
  EXPECT_EQ(file.rewritten(0, std::vector<double>{1, 2, 3, 4}, 0.4),
            R"({"image_id":7,"category_id":1,"keypoints":[1.0, 2.0, 1.0, 3.0, 4.0, 1.0],"scores":[0.5, 0.30]})");
}

TEST_F(PoseFileTest, RefusalsNameFileEntryAndField) {
  const auto with = [](std::string from, const std::string& to) {
    std::string entry = kEntry;
    return "[" + std::string(kEntry) + ",\n" + entry.replace(entry.find(from), from.size(), to) + "]";
  };
  const auto names = [&](const char* field, const char* what) {
    return AllOf(HasSubstr(path_.string()), HasSubstr("entry 1"), HasSubstr(field), HasSubstr(what));
  };
  EXPECT_THAT(refusal(with("[1, 2, 0.5,", "[NaN, 2, 0.5,")), names("'keypoints'[0]", "found `NaN,`"));
  EXPECT_THAT(refusal(with("3, 4", "3, null")), names("'keypoints'[4]", "expected a finite number, found `null,`"));
  EXPECT_THAT(refusal(with("3, 4", "3, 1e999")), names("'keypoints'[4]", "finite"));
  EXPECT_THAT(refusal(with(", 4, 0]", ", 4]")), names("'keypoints'", "5 numbers, expected 6"));
  EXPECT_THAT(refusal(with(", 4, 0]", ", 4, 0, 1, 1, 1]")), names("'keypoints'", "9 numbers, expected 6"));
  EXPECT_THAT(refusal(with("[1, 2, 0.5, 3, 4, 0]", "[[1, 2, 0.5], [3, 4, 0]]")), names("'keypoints'[0]", "number"));
  EXPECT_THAT(refusal(with("\"keypoints\"", "\"points\"")), names("'keypoints'", "missing"));
  EXPECT_THAT(refusal(with("\"image_id\": 7, ", "")), names("'image_id'", "missing"));
  EXPECT_THAT(refusal(with("\"category_id\": 1, ", "")), names("'category_id'", "missing"));
  EXPECT_THAT(refusal(with(", \"score\": 0.25", "")), names("'score'", "missing"));
  EXPECT_THAT(refusal(with("0.25", "\"0.25\"")), names("'score'", "number"));
  EXPECT_THAT(refusal(with("7", "\"7\"")), names("'image_id'", "number"));
  EXPECT_THAT(refusal(with("7", "7.5")), names("'image_id'", "integer"));
  EXPECT_THAT(refusal(with("7", "9223372036854775808")), names("'image_id'", "64 bits"));
  EXPECT_THAT(refusal(with("\"image_id\": 7", "\"bbox\": [1, 2, 0, 0], \"image_id\": 7")), names("'bbox'", "extent"));
  EXPECT_THAT(refusal(with("\"image_id\": 7", "\"bbox\": [1, 2, 3], \"image_id\": 7")), names("'bbox'", "expected 4"));
  EXPECT_THAT(refusal(with("\"image_id\": 7", "\"scores\": [1], \"image_id\": 7")), names("'scores'", "expected 2"));
  EXPECT_THAT(refusal(with("\"image_id\": 7", "\"image_id\": 6, \"image_id\": 7")), names("'image_id'", "twice"));
}

TEST_F(PoseFileTest, RefusesFilesThatAreNoListOfPoses) {
  EXPECT_THAT(refusal(""), HasSubstr("empty"));
  EXPECT_THAT(refusal("{\"annotations\": []}"), HasSubstr("expected a list of poses"));
  EXPECT_THAT(refusal("[1]"), HasSubstr("entry 0: at byte 1: expected an object"));
  EXPECT_THAT(refusal("[" + std::string(kEntry)), HasSubstr("after entry 0"));
  EXPECT_THAT(refusal("[" + std::string(kEntry) + ",]"), HasSubstr("entry 1"));
  EXPECT_THAT(refusal("[]\n[]"), HasSubstr("expected the end of the file"));
  EXPECT_TRUE(read("[]").entries().empty());
}

TEST_F(PoseFileTest, ReadsThePicturesOfAnnotations) {
  write_file_atomically(path_, R"({"info": {}, "images": [{"id": 9, "file_name": "b.jpg"}, {"file_name": "a.jpg", "id": 3}],
    "annotations": [{"id": 1, "image_id": 9}], "categories": [{"id": 1, "name": "person"}]})");
  const AnnotatedPictures pictures = AnnotatedPictures::read(path_);
  ASSERT_NE(pictures.find(9), nullptr);
  EXPECT_EQ(*pictures.find(9), "b.jpg");
  EXPECT_EQ(*pictures.find(3), "a.jpg");
  EXPECT_EQ(pictures.find(4), nullptr);
  EXPECT_TRUE(pictures.has_category(1));
  EXPECT_FALSE(pictures.has_category(2));
}

}  // namespace
}  // namespace posefix::refine
