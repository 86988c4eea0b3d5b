#include "refine/selection.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/temporary_folder.h"

namespace posefix::refine {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string entry(int64_t image_id, int category_id, double score, const std::string& more = "") {
  return fmt::format(R"({{"image_id": {}, "category_id": {}, "keypoints": [1, 2, 0.5], "score": {}{}}})", image_id,
                     category_id, score, more);
}

class SelectionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_ / "sub");
    for (const char* name : {"000000000007.jpg", "000000000008.png", "sub/x.jpg"}) {
      write_file_atomically(folder_ / name, "a picture");
    }
  }

  dataset::PoseResults poses(const std::vector<std::string>& entries) {
    write_file_atomically(folder_ / "poses.json", fmt::format("[{}]", fmt::join(entries, ",\n")));
    return dataset::read_pose_results(folder_ / "poses.json", {.joints = 1});
  }
  // Annotations of these pictures, category 1.
  dataset::CocoAnnotations listing(const std::vector<std::pair<int, std::string>>& pictures) {
    std::vector<std::string> images;
    for (const auto& [id, name] : pictures)
      images.push_back(fmt::format(R"({{"id": {}, "file_name": "{}"}})", id, name));
    write_file_atomically(
        folder_ / "annotations.json",
        fmt::format(R"({{"images": [{}], "annotations": [], "categories": [{{"id": 1}}]}})", fmt::join(images, ", ")));
    return dataset::read_coco_annotations(folder_ / "annotations.json");
  }
  std::string refusal(const std::vector<std::string>& entries, const dataset::CocoAnnotations* annotations = nullptr) {
    try {
      select(poses(entries), folder_.path(), annotations);
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), 2);
      return error.what();
    }
    return "accepted";
  }

  TemporaryFolder folder_;
};

TEST_F(SelectionTest, FindsPicturesByPaddedIdAndByFileName) {
  const dataset::PoseResults results =
      poses({entry(8, 1, 1), entry(7, 2, 0), entry(8, 1, 1), entry(1, 1, 1, R"(, "file_name": "sub/x.jpg")")});
  const Selection selection = select(results, folder_.path(), nullptr);
  EXPECT_THAT(selection.entries, ElementsAre(0, 1, 2, 3));
  std::vector<size_t> picture_of;
  for (const Person& person : selection.people) picture_of.push_back(person.picture);
  EXPECT_THAT(picture_of, ElementsAre(0, 1, 0, 2));
  EXPECT_THAT(selection.pictures,
              ElementsAre(folder_ / "000000000008.png", folder_ / "000000000007.jpg", folder_ / "sub/x.jpg"));
  EXPECT_EQ(selection.left_out(), 0U);
}

TEST_F(SelectionTest, AnEntryWithoutPictureIsNamed) {
  EXPECT_THAT(refusal({entry(7, 1, 1), entry(9, 1, 1)}),
              AllOf(HasSubstr("poses.json: entry 1: 'image_id'"), HasSubstr("000000000009.jpg")));
  EXPECT_THAT(refusal({entry(9, 1, 1, R"(, "file_name": "y.jpg")")}), HasSubstr("entry 0: 'file_name'"));
}

TEST_F(SelectionTest, AnnotationsDecideWhatIsRefined) {
  const dataset::CocoAnnotations annotations = listing({{1, "sub/x.jpg"}, {7, "000000000007.jpg"}});
  const dataset::PoseResults results =
      poses({entry(1, 1, 0.5), entry(2, 1, 0.5), entry(7, 2, 0.5), entry(7, 1, 0), entry(7, 1, -1), entry(7, 1, 0.1)});
  const Selection selection = select(results, folder_.path(), &annotations);
  EXPECT_THAT(selection.entries, ElementsAre(0, 5));
  EXPECT_THAT(selection.pictures, ElementsAre(folder_ / "sub/x.jpg", folder_ / "000000000007.jpg"));
  EXPECT_EQ(selection.unlisted, 1U);
  EXPECT_EQ(selection.other_category, 1U);
  EXPECT_EQ(selection.no_score, 2U);
}

TEST_F(SelectionTest, AListedPictureThatIsNotThereIsAnError) {
  const dataset::CocoAnnotations annotations = listing({{1, "gone.jpg"}, {7, "000000000007.jpg"}});
  EXPECT_THAT(refusal({entry(7, 1, 1), entry(1, 1, 1)}, &annotations),
              AllOf(HasSubstr("entry 1: 'image_id'"), HasSubstr("gone.jpg")));
}

TEST_F(SelectionTest, PosesOfAnotherSplitAreAnError) {
  const dataset::CocoAnnotations annotations = listing({{1, "sub/x.jpg"}});
  EXPECT_THAT(refusal({entry(7, 1, 1), entry(8, 1, 1)}, &annotations), HasSubstr("another split"));
}

TEST_F(SelectionTest, ABoxWithoutExtentIsNamed) {
  EXPECT_THAT(refusal({entry(7, 1, 1, R"(, "bbox": [1, 2, 0, 0])")}),
              AllOf(HasSubstr("entry 0: 'bbox'"), HasSubstr("extent")));
  EXPECT_THAT(refusal({entry(7, 1, 1, R"(, "bbox": [1, 2, -5, 9])")}), HasSubstr("width -5"));
  EXPECT_EQ(refusal({entry(7, 1, 1, R"(, "bbox": [1, 2, 0, 3])"), entry(7, 1, 1, R"(, "bbox": [])")}), "accepted");
}

TEST_F(SelectionTest, OnePictureTakesItsOwnPoses) {
  EXPECT_THAT(select_for_picture(poses({entry(8, 1, 1), entry(7, 1, 1)}), "000000000007.jpg").entries, ElementsAre(1));
  EXPECT_THAT(select_for_picture(poses({entry(8, 1, 1), entry(8, 1, 1)}), "holiday.jpg").entries, ElementsAre(0, 1));
  EXPECT_THROW(select_for_picture(poses({entry(8, 1, 1), entry(7, 1, 1)}), "holiday.jpg"), Error);
}

}  // namespace
}  // namespace posefix::refine
