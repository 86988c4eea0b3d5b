// PCKh against evaluate/mpii, for the people in the goldens and for the whole detections file.
#include <gtest/gtest.h>

#include <cmath>

#include "dataset/formats/mat_file.h"
#include "evaluate/pckh.h"
#include "pose/golden_test_files.h"

namespace posefix::evaluate {
namespace {

using nlohmann::json;

constexpr double kTolerance = 1e-9;

void expect_figures(const std::vector<PckhPerson>& people, const json& expected) {
  const pose::Skeleton skeleton = pose::Skeleton::load("mpii16");
  ASSERT_EQ(people.size(), expected["persons"].get<size_t>());
  const PckhFigures half = pckh(people, skeleton, 0.5);
  const PckhFigures tenth = pckh(people, skeleton, 0.1);
  EXPECT_NEAR(half.mean, expected["mean_05"].get<double>(), kTolerance);
  EXPECT_NEAR(tenth.mean, expected["mean_01"].get<double>(), kTolerance);
  const std::vector<size_t> visible = expected["visible_per_joint"];
  EXPECT_EQ(half.visible, visible);
  size_t j = 0;
  // The expected maps keep MPII's joint order only in the file; json sorts them, so joints are looked up by short name.
  for (const char* name : {"rank", "rkne", "rhip", "lhip", "lkne", "lank", "pelv", "thrx", "neck", "head", "rwri",
                           "relb", "rsho", "lsho", "lelb", "lwri"}) {
    EXPECT_NEAR(half.per_joint[j], expected["per_joint_05"][name].get<double>(), kTolerance) << name;
    EXPECT_NEAR(tenth.per_joint[j], expected["per_joint_01"][j].get<double>(), kTolerance) << name;
    ++j;
  }
  for (const PckhGroup& group : pckh_groups(half, skeleton)) {
    EXPECT_NEAR(group.value, expected["groups_05"][group.name].get<double>(), kTolerance) << group.name;
  }
  const PckhCurve curve = pckh_curve(people, skeleton);
  for (size_t i = 0; i < curve.mean.size(); ++i)
    EXPECT_NEAR(curve.mean[i], expected["curve"][i].get<double>(), kTolerance) << i;
  EXPECT_NEAR(curve.mean[11], expected["mean_at_index_11_of_arange"].get<double>(), kTolerance);
  EXPECT_NEAR(curve.area, expected["auc_0_to_05"].get<double>(), kTolerance);
}

PckhPerson person_of(const json& golden) {
  PckhPerson person;
  for (size_t j = 0; j < golden["gt"].size(); ++j) {
    person.predicted.push_back({golden["pred"][j][0], golden["pred"][j][1], 1});
    person.annotated.push_back({golden["gt"][j][0], golden["gt"][j][1], golden["missing"][j] == 0 ? 1.0 : 0.0});
  }
  const json& box = golden["headbox"];
  person.head_size = head_size_of_box(box[1][0].get<double>() - box[0][0].get<double>(),
                                      box[1][1].get<double>() - box[0][1].get<double>());
  return person;
}

std::vector<PckhPerson> people_of(const json& golden) {
  std::vector<PckhPerson> people;
  for (const json& person : golden["persons"]) people.push_back(person_of(person));
  return people;
}

// jnt_missing [16,N], pos_gt_src and pos_pred_src [16,2,N], headboxes_src [2,2,N] (corner, x|y).
std::vector<PckhPerson> people_of_matlab_file(const std::filesystem::path& path) {
  dataset::formats::MatFile file(path);
  const dataset::formats::MatNode missing_node = file.variable("jnt_missing");
  const std::vector<double> missing = missing_node.numbers();
  const std::vector<double> annotated = file.variable("pos_gt_src").numbers();
  const std::vector<double> predicted = file.variable("pos_pred_src").numbers();
  const std::vector<double> boxes = file.variable("headboxes_src").numbers();
  const size_t joints = missing_node.shape().at(0);
  std::vector<PckhPerson> people(missing_node.shape().at(1));
  for (size_t i = 0; i < people.size(); ++i) {
    for (size_t j = 0; j < joints; ++j) {
      const size_t x = j + joints * 2 * i;
      const size_t y = x + joints;
      people[i].predicted.push_back({predicted.at(x), predicted.at(y), 1});
      people[i].annotated.push_back({annotated.at(x), annotated.at(y), missing.at(j + joints * i) == 0 ? 1.0 : 0.0});
    }
    people[i].head_size =
        head_size_of_box(boxes.at(4 * i + 1) - boxes.at(4 * i), boxes.at(4 * i + 3) - boxes.at(4 * i + 2));
  }
  return people;
}

// NAME.expected.json is about the people in NAME.json; without that, about those in the MATLAB file of the data.
TEST(PckhGolden, FiguresGroupsAndCurve) {
  const std::filesystem::path folder = pose::goldens() / "evaluate" / "mpii";
  for (const auto& path : pose::golden_files(folder, ".expected.json")) {
    std::string name = path.filename().string();
    SCOPED_TRACE(name);
    name.replace(name.find(".expected"), 9, "");
    const bool has_people = std::filesystem::exists(folder / name);
    expect_figures(
        has_people ? people_of(pose::read_golden(folder / name))
                   : people_of_matlab_file(pose::golden_data() / "eval" / "mpii_pckh" / "detections_our_format.mat"),
        pose::read_golden(path));
  }
}

}  // namespace
}  // namespace posefix::evaluate
