#include "dataset/formats/annotation_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/testing/bad_input_message.h"
#include "base/testing/temporary_folder.h"

namespace posefix::dataset::formats {
namespace {

using ::testing::HasSubstr;

AnnotationSet example() {
  AnnotationSet set{"lsp14", {}, {}, {}};
  AnnotatedImage image;
  image.id = 7;
  image.file_name = "a \"b\"\\c.jpg";
  image.width = 320;
  image.height = 200;
  set.add_image(image, {{"vid_id", "\"007\""}});
  Annotation person;
  person.id = 3;
  person.image_id = 7;
  person.category_id = 1;
  person.bbox = {0.1, 1.0 / 3, 40, 50};
  person.area = 1234.5;
  for (int j = 0; j < 14; ++j) person.keypoints.push_back({j + 0.1, j / 7.0, double(j % 3)});
  person.num_keypoints = labelled_joints(person.keypoints);
  set.add_annotation(person, {{"track_id", "4"}, {"scores", "[]"}});
  return set;
}

void expect_equal(const AnnotationSet& a, const AnnotationSet& b) {
  ASSERT_EQ(a.coco.images.size(), b.coco.images.size());
  ASSERT_EQ(a.coco.annotations.size(), b.coco.annotations.size());
  for (size_t i = 0; i < a.coco.images.size(); ++i) {
    EXPECT_EQ(a.coco.images[i].id, b.coco.images[i].id);
    EXPECT_EQ(a.coco.images[i].file_name, b.coco.images[i].file_name);
    EXPECT_EQ(a.coco.images[i].width, b.coco.images[i].width);
    ASSERT_EQ(a.image_fields[i].size(), b.image_fields[i].size());
    for (size_t f = 0; f < a.image_fields[i].size(); ++f)
      EXPECT_EQ(a.image_fields[i][f].json, b.image_fields[i][f].json);
  }
  for (size_t i = 0; i < a.coco.annotations.size(); ++i) {
    const Annotation &x = a.coco.annotations[i], &y = b.coco.annotations[i];
    EXPECT_EQ(x.id, y.id);
    EXPECT_EQ(x.area, y.area);
    EXPECT_EQ(x.bbox.y, y.bbox.y);
    EXPECT_EQ(x.num_keypoints, y.num_keypoints);
    for (size_t j = 0; j < x.keypoints.size(); ++j) {
      EXPECT_EQ(x.keypoints[j].x, y.keypoints[j].x);
      EXPECT_EQ(x.keypoints[j].y, y.keypoints[j].y);
      EXPECT_EQ(x.keypoints[j].score, y.keypoints[j].score);
    }
    ASSERT_EQ(a.annotation_fields[i].size(), b.annotation_fields[i].size());
    for (size_t f = 0; f < a.annotation_fields[i].size(); ++f) {
      EXPECT_EQ(a.annotation_fields[i][f].name, b.annotation_fields[i][f].name);
      EXPECT_EQ(a.annotation_fields[i][f].json, b.annotation_fields[i][f].json);
    }
  }
}

TEST(AnnotationSet, IsReadBackAsWrittenAndWrittenAgainTheSameBytes) {
  const TemporaryFolder folder;
  const AnnotationSet set = example();
  write_annotation_set(folder / "a.json", set);
  const AnnotationSet again = read_annotation_set(folder / "a.json", "lsp14");
  expect_equal(set, again);
  write_annotation_set(folder / "b.json", again);
  EXPECT_EQ(read_file(folder / "a.json"), read_file(folder / "b.json"));
}

TEST(AnnotationSet, PutsNamedJointsInTheSkeletonsOrder) {
  const TemporaryFolder folder;
  // LSP's joints backwards, spelt another way.
  std::string keypoints, names;
  const pose::Skeleton skeleton = pose::Skeleton::load("lsp14");
  for (int j = 13; j >= 0; --j) {
    std::string name = skeleton.joints[static_cast<size_t>(j)];
    if (name.starts_with("left_")) name = "l_" + name.substr(5);
    if (name.starts_with("right_")) name = "r_" + name.substr(6);
    keypoints += fmt::format("{}{},0,2", keypoints.empty() ? "" : ",", j);
    names += fmt::format("{}\"{}\"", names.empty() ? "" : ",", name);
  }
  const auto path = folder.write("a.json", fmt::format(R"({{"images":[{{"id":1,"file_name":"a.jpg"}}],
    "annotations":[{{"id":1,"image_id":1,"category_id":1,"bbox":[0,0,1,1],"keypoints":[{}]}}],
    "categories":[{{"id":1,"name":"person","keypoints":[{}]}}]}})",
                                                       keypoints, names));
  const AnnotationSet set = read_annotation_set(path, "lsp14");
  for (int j = 0; j < 14; ++j) EXPECT_EQ(set.coco.annotations[0].keypoints[static_cast<size_t>(j)].x, j);
}

TEST(AnnotationSet, NamesTheJointThatIsMissing) {
  const TemporaryFolder folder;
  AnnotationSet set = example();
  write_annotation_set(folder / "a.json", set);
  std::string text = read_file(folder / "a.json");
  text.replace(text.find("head_top"), 8, "tail_end");
  const auto path = folder.write("b.json", text);
  const std::string message = bad_input_message([&] { read_annotation_set(path, "lsp14"); });
  EXPECT_THAT(message, HasSubstr("head_top"));
  EXPECT_THAT(message, HasSubstr("b.json"));
}

TEST(AnnotationSet, RefusesPeopleWithOtherJoints) {
  const TemporaryFolder folder;
  write_annotation_set(folder / "a.json", example());
  EXPECT_THAT(bad_input_message([&] { read_annotation_set(folder / "a.json", "mpii16"); }),
              HasSubstr("/annotations/0/keypoints"));
}

TEST(AnnotationSet, RefusesNumbersThatJsonCannotHold) {
  const TemporaryFolder folder;
  AnnotationSet set = example();
  set.coco.annotations[0].area = 1e308 * 10;
  bad_input_message([&] { write_annotation_set(folder / "a.json", set); });
  EXPECT_FALSE(std::filesystem::exists(folder / "a.json"));
}

TEST(AnnotationSet, ExtentLeavesUnlabelledJointsOut) {
  const pose::Box box = extent_of_labelled({{0, 0, 0}, {3, 9, 1}, {8, 4, 2}});
  EXPECT_EQ(box.x, 3);
  EXPECT_EQ(box.y, 4);
  EXPECT_EQ(box.w, 5);
  EXPECT_EQ(box.h, 5);
  EXPECT_EQ(extent_of_labelled({{5, 5, 0}}).w, 0);
}

}  // namespace
}  // namespace posefix::dataset::formats
