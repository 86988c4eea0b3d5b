#include "dataset/coco_annotations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/bad_input_message.h"
#include "base/testing/temporary_folder.h"
#include "dataset/picture_locator.h"
#include "dataset/training_people.h"

namespace posefix::dataset {
namespace {

using testing::HasSubstr;

class CocoAnnotationsTest : public testing::Test {
 protected:
  CocoAnnotations read(const std::string& text, AnnotationReadOptions options = {}) {
    write_file_atomically(folder_ / "a.json", text);
    return read_coco_annotations(folder_ / "a.json", options);
  }
  std::string message_of(const std::string& text) {
    return bad_input_message([&] { read(text); });
  }
  TemporaryFolder folder_;
};

constexpr const char* kPeople = R"({"info": {"x": [1]}, "annotations": [
  {"id": 1, "image_id": 5, "category_id": 1, "bbox": [-10, 2, 31, 21], "area": 50, "iscrowd": 0, "num_keypoints": 1,
   "segmentation": [[1, 2, 3]], "keypoints": [5, 6, 2, 0, 0, 0]},
  {"id": 2, "image_id": 5, "category_id": 1, "bbox": [0, 2, 21, 21], "area": 50, "keypoints": [5, 6, 1, 0, 0, 0]},
  {"id": 3, "image_id": 5, "category_id": 1, "bbox": [0, 2, 21, 21], "area": 50, "iscrowd": 1, "num_keypoints": 1,
   "keypoints": [5, 6, 1, 0, 0, 0]},
  {"id": 4, "image_id": 5, "category_id": 1, "bbox": [90, 90, 40, 40], "area": 50, "num_keypoints": 1,
   "keypoints": [5, 6, 1, 0, 0, 0]}],
 "images": [{"id": 5, "file_name": "x.jpg", "width": 100, "height": 100, "license": 4}],
 "categories": [{"id": 1, "name": "person", "keypoints": ["a", "b"]}]})";

TEST_F(CocoAnnotationsTest, ReadsAnnotations) {
  const CocoAnnotations annotations = read(kPeople);
  ASSERT_EQ(annotations.annotations.size(), 4u);
  EXPECT_EQ(annotations.joints, 2);
  EXPECT_EQ(annotations.annotations[0].bbox.x, -10);
  EXPECT_EQ(annotations.annotations[1].num_keypoints, 1);
  EXPECT_TRUE(annotations.annotations[2].iscrowd);
  EXPECT_EQ(annotations.find_image(5)->license, 4);
  EXPECT_EQ(annotations.find_image(6), nullptr);
  EXPECT_EQ(annotations.categories[0].keypoints.size(), 2u);
}

TEST_F(CocoAnnotationsTest, MessagesNamePlace) {
  EXPECT_THAT(message_of("[]"), HasSubstr("this looks like a results file"));
  EXPECT_THAT(message_of("{}"), HasSubstr("field 'images' is missing"));
  EXPECT_THAT(message_of(R"({"images":[{"id":1,"file_name":"a","width":-3}]})"), HasSubstr("/images/0/width"));
  EXPECT_THAT(message_of(R"({"images":[],"annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[1,2,3]}]})"),
              HasSubstr("/annotations/0/bbox: byte 72: expected 4 numbers"));
  EXPECT_THAT(
      message_of(
          R"({"images":[],"annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[1,2,3,4],"keypoints":[1,1,1]}]})"),
      HasSubstr("/annotations/0: byte 28: field 'area' is missing"));
}

TEST_F(CocoAnnotationsTest, TrainingPeopleAreCleanedMatchedAndNear) {
  const CocoAnnotations annotations = read(kPeople);
  PoseResults estimated;
  estimated.entries.resize(2);
  estimated.entries[0].image_id = 5;
  estimated.entries[0].keypoints = {{1, 1, 1}, {2, 2, 1}};
  estimated.entries[0].bbox = pose::Box{60, 60, 5, 5};
  estimated.entries[1].image_id = 5;
  estimated.entries[1].keypoints = {{3, 3, 1}, {4, 4, 1}};
  estimated.entries[1].bbox = pose::Box{0, 2, 20, 20};
  const std::vector<Person> people = training_people(annotations, &estimated);
  ASSERT_EQ(people.size(), 3u);  // the crowd is left out
  EXPECT_EQ(people[0].bbox.x, 0);
  EXPECT_EQ(people[0].bbox.w, 30);  // a negative x does not shorten the box
  EXPECT_EQ(people[2].bbox.w, 9);   // clipped at the last column
  ASSERT_TRUE(people[0].estimated);
  EXPECT_EQ((*people[0].estimated)[0].x, 3);
  EXPECT_FALSE(people[2].estimated);
  EXPECT_EQ(people[0].near, std::vector<size_t>{1});
  EXPECT_EQ(people[1].near, std::vector<size_t>{0});
  EXPECT_TRUE(people[2].near.empty());
}

TEST_F(CocoAnnotationsTest, PictureLocator) {
  const CocoAnnotations annotations = read(kPeople);
  const PictureLocator locator(folder_.path(), &annotations);
  EXPECT_THROW((void)locator.find(5), Error);
  write_file_atomically(folder_ / "x.jpg", "x");
  write_file_atomically(folder_ / "000000000012.png", "x");
  EXPECT_EQ(locator.find(5), folder_ / "x.jpg");
  EXPECT_EQ(locator.find(12), folder_ / "000000000012.png");
  EXPECT_EQ(locator.find(99, "x.jpg"), folder_ / "x.jpg");
  try {
    (void)locator.find(13, "y.jpg");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("y.jpg; in the folder lie"));
  }
  EXPECT_THROW((void)locator.find(99, "../x.jpg"), Error);
  EXPECT_TRUE(is_inside("a/../b.jpg"));
  EXPECT_FALSE(is_inside("a/../../b.jpg"));
  EXPECT_FALSE(is_inside("/etc/passwd"));
  EXPECT_FALSE(is_inside(""));
}

}  // namespace
}  // namespace posefix::dataset
