#include "dataset/pose_results.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/testing/bad_input_message.h"
#include "base/testing/temporary_folder.h"

namespace posefix::dataset {
namespace {

using testing::HasSubstr;

class PoseResultsTest : public testing::Test {
 protected:
  std::filesystem::path write(const std::string& text) {
    write_file_atomically(folder_ / "p.json", text);
    return folder_ / "p.json";
  }
  std::string message_of(const std::string& text, PoseReadOptions options = {}) {
    return bad_input_message([&] { read_pose_results(write(text), options); });
  }

  TemporaryFolder folder_;
};

constexpr const char* kTwo = R"([
 {"extra": [1, {"a": "\u00e9"}], "score": 0.5, "image_id": 7, "keypoints": [1, 2, 0.5, 3.25, 4, 1], "category_id": 1},
 {"image_id": 9007199254740993, "category_id": 1, "keypoints": [0, 0, 0, 1, 1, 1], "score": 1e-1, "bbox": [1, 2, 3, 4],
  "file_name": "a.jpg", "note": null}])";

TEST_F(PoseResultsTest, ReadsEntriesInAnyFieldOrder) {
  const PoseResults results = read_pose_results(write(kTwo), {.joints = 2});
  ASSERT_EQ(results.entries.size(), 2u);
  EXPECT_EQ(results.entries[0].image_id, 7);
  EXPECT_EQ(results.entries[0].keypoints[1].x, 3.25);
  EXPECT_FALSE(results.entries[0].bbox);
  EXPECT_EQ(results.entries[1].image_id, 9007199254740993);
  EXPECT_EQ(results.entries[1].score, 0.1);
  EXPECT_EQ(results.entries[1].bbox->h, 4);
  EXPECT_EQ(*results.entries[1].file_name, "a.jpg");
  EXPECT_EQ(results.entries[1].index, 1u);
}

TEST_F(PoseResultsTest, WritesUnknownFieldsBackInTheirPlaces) {
  const PoseResults results = read_pose_results(write(kTwo), {});
  const std::vector<RefinedPose> refined{{1, {{10.12345, 20, 1}, {-0.0001, 4, 1}}, 0.25},
                                         {0, {{5, 6, 1}, {7, 8, 1}}, std::nullopt}};
  const std::filesystem::path out = folder_ / "r.json";
  write_pose_results(out, results, refined);
  const std::string text = read_file(out);
  EXPECT_EQ(
      text,
      "[{\"image_id\": 9007199254740993, \"category_id\": 1, \"keypoints\": [10.123,20,1,0,4,1], \"score\": 0.25, "
      "\"bbox\": [1, 2, 3, 4],\n  \"file_name\": \"a.jpg\", \"note\": null},\n"
      "{\"extra\": [1, {\"a\": \"\\u00e9\"}], \"score\": 0.5, \"image_id\": 7, \"keypoints\": [5,6,1,7,8,1], "
      "\"category_id\": 1}]\n");
  EXPECT_EQ(nlohmann::json::parse(text).size(), 2u);
  write_pose_results(out, results, std::vector<RefinedPose>{});
  EXPECT_EQ(read_file(out), "[]\n");
  write_pose_results(out, results.entries);
  EXPECT_EQ(read_pose_results(out, {}).entries.size(), 2u);
}

TEST_F(PoseResultsTest, AddsOrReplacesUncertaintyAndScore) {
  const char* text = R"([{"uncertainty": [9, 9], "image_id": 7, "keypoints": [1, 2, 1, 3, 4, 1], "category_id": 1,
 "scores": [0.5, 0.7]}, {"image_id": 8, "category_id": 1, "keypoints": [1, 2, 1, 3, 4, 1], "score": 0.5 }])";
  const PoseResults results = read_pose_results(write(text), {});
  const pose::Keypoints moved{{5, 6, 1}, {7, 8, 1}};
  const std::vector<RefinedPose> refined{{0, moved, 0.25, true, {1.23456, 2}}, {1, moved, 0.75, true, {3, 4}}};
  const std::filesystem::path out = folder_ / "r.json";
  write_pose_results(out, results, refined);
  EXPECT_EQ(read_file(out),
            "[{\"uncertainty\": [1.235,2], \"image_id\": 7, \"keypoints\": [5,6,1,7,8,1], \"category_id\": 1,\n "
            "\"scores\": [0.5, 0.7],\"score\":0.25},\n"
            "{\"image_id\": 8, \"category_id\": 1, \"keypoints\": [5,6,1,7,8,1], \"score\": 0.75 "
            ",\"uncertainty\":[3,4]}]\n");
}

TEST_F(PoseResultsTest, MessagesNameEntryAndField) {
  EXPECT_THAT(message_of(kTwo, {.joints = 17}),
              HasSubstr("/0/keypoints: byte 77: expected 51 numbers (x, y, score for each of 17 joints), got 6"));
  EXPECT_THAT(message_of(R"([{"image_id":"1"}])"),
              HasSubstr("/0/image_id: byte 13: expected an integer, got the string \"1\""));
  EXPECT_THAT(message_of(R"([{"image_id":1,"keypoints":[1,2,NaN]}])"),
              HasSubstr("/0/keypoints/2: byte 32: expected a finite number, got NaN"));
  EXPECT_THAT(message_of(R"([{"image_id":1,"keypoints":[1,2,3],"score":1}])"),
              HasSubstr("/0: byte 1: field 'category_id' is missing"));
  EXPECT_THAT(message_of(R"([{"image_id":1,"category_id":1,"keypoints":[1,2,3]}])"),
              HasSubstr("field 'score' is missing"));
  EXPECT_THAT(message_of(R"([{"image_id":1,"category_id":1,"keypoints":[1,2,3],"score":1}])", {.require_bbox = true}),
              HasSubstr("field 'bbox' is missing"));
  EXPECT_THAT(message_of(R"({"images":[],"annotations":[]})"), HasSubstr("this looks like an annotation file"));
  EXPECT_THAT(message_of("{\"keypoints\":[]}\n{\"keypoints\":[]}"), HasSubstr("byte 17 (line 2, column 1)"));
  EXPECT_THAT(message_of("[1]"), HasSubstr("/0: byte 1: expected an object, got the number 1"));
}

TEST_F(PoseResultsTest, GoesOnWithTheRestWhenAsked) {
  std::vector<Finding> findings;
  PoseReadOptions options;
  options.keep_going = true;
  options.findings = [&](Finding finding) { findings.push_back(std::move(finding)); };
  const PoseResults results =
      read_pose_results(write(R"([{"image_id":1.0,"category_id":1,"keypoints":[1,2,3],"scores":[0.25]},{"image_id":2},
                {"image_id":3,"category_id":1,"keypoints":[1,2,3],"score":1}])"),
                        options);
  ASSERT_EQ(results.entries.size(), 2u);
  EXPECT_EQ(results.entries[0].score, 0.25);
  EXPECT_EQ(results.entries[1].index, 2u);
  ASSERT_EQ(findings.size(), 3u);
  EXPECT_EQ(findings[0].severity, Severity::kWarning);
  EXPECT_EQ(findings[2].severity, Severity::kError);
  EXPECT_THAT(findings[2].message, HasSubstr("/1: "));
}

TEST_F(PoseResultsTest, NamesWhatLiesThereInstead) {
  write("[]");
  try {
    read_pose_results(folder_ / "q.json", {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("p.json"));
  }
}

}  // namespace
}  // namespace posefix::dataset
