// The reference's whole test path on real pictures: poses -> boxes -> crops -> network -> flip merge -> picture -> NMS
// -> results file. Cases are the NAME_poses.json of the golden folder; tolerances are its README's.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "compiler/compile.h"
#include "refine/refiner.h"
#include "refine/selection.h"
#include "refine/testing/golden_case.h"

namespace posefix::refine {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr double kBoxTolerance_px = 1e-3;

std::unique_ptr<runtime::Session> open_session(const fs::path& folder, const Case& c, const std::string& backend) {
  const NamedTensors weights = tensorfile::read_checkpoint(checkpoint_of(folder, c));
  const model::ModelConfig config = config_of(c, weights);
  const graph::Graph graph = model::build(config, c.joints);
  NamedTensors network;  // without the optimiser's slots
  for (const graph::NodeId id : graph.all(graph::Op::kWeight)) {
    network[graph.node(id).name] = weights.at(graph.node(id).name);
  }
  runtime::SessionOptions options;
  options.backend = backend;
  compiler::CompileOptions compile;
  compile.target = backend;
  return runtime::open_session(compiler::compile(graph, network, {}, compile), options);
}

void expect_near(const json& expected, std::span<const float> found, double tolerance, const char* what) {
  for (size_t joint = 0; joint < expected.size(); ++joint) {
    for (size_t axis = 0; axis < 2; ++axis) {
      EXPECT_NEAR(found[2 * joint + axis], expected[joint][axis].get<double>(), tolerance)
          << what << ", joint " << joint << ", axis " << axis;
    }
  }
}

void check_persons(const Case& c, const Selection& selection, const Refined& refined) {
  ASSERT_EQ(selection.entries.size(), c.persons.size());
  const size_t width = 2 * static_cast<size_t>(c.joints);
  for (const json& person : c.persons) {
    SCOPED_TRACE("input index " + person["index"].dump());
    const auto at = std::find(selection.entries.begin(), selection.entries.end(), person["index"].get<size_t>());
    ASSERT_NE(at, selection.entries.end());
    const size_t i = static_cast<size_t>(at - selection.entries.begin());
    const auto part = [&](const std::vector<float>& all) { return std::span(all).subspan(i * width, width); };

    const pose::Box box = person_box(selection.people[i], pose::Skeleton::load(c.skeleton()));
    const double box_values[] = {box.x, box.y, box.w, box.h};
    const pose::Box& crop = refined.crop_boxes[i];
    const double crop_values[] = {crop.x, crop.y, crop.x + crop.w, crop.y + crop.h};
    for (size_t side = 0; side < 4; ++side) {
      EXPECT_NEAR(box_values[side], person["box"][side].get<double>(), kBoxTolerance_px);
      EXPECT_NEAR(crop_values[side], person["crop_box"][side].get<double>(), kBoxTolerance_px);
    }
    expect_near(person["input_crop_px"], part(refined.input_crop_px), kCropTolerance_px, "input");
    expect_near(person["coord_crop_px"], part(refined.first_crop_px), kCropTolerance_px, "first pass");
    expect_near(person["coord_flip_crop_px"], part(refined.mirrored_crop_px), kCropTolerance_px, "mirrored pass");
    expect_near(person["coord_mean_crop_px"], part(refined.mean_crop_px), kCropTolerance_px, "mean");
    EXPECT_EQ(refined.kept[i] != 0, person["kept"].get<bool>());
  }
}

// What stands in the file that the command line would write, matched by the position in the input.
void check_results(const Case& c, const dataset::PoseResults& poses, const Selection& selection,
                   const Refined& refined) {
  std::vector<dataset::RefinedPose> written;
  std::vector<size_t> person_of;
  for (size_t i = 0; i < selection.entries.size(); ++i) {
    if (refined.kept[i] == 0) continue;
    dataset::RefinedPose& pose = written.emplace_back();
    pose.entry = selection.entries[i];
    pose.score = std::round(selection.people[i].score * 1e4) / 1e4;
    const std::span<const double> coords = refined.coords(i);
    for (size_t j = 0; j < coords.size(); j += 2) pose.keypoints.push_back({coords[j], coords[j + 1], 1});
    person_of.push_back(i);
  }
  const fs::path file = fs::temp_directory_path() / ("refine_golden_" + c.name + ".json");
  dataset::write_pose_results(file, poses, written);
  const json found = pose::read_golden(file);
  fs::remove(file);
  ASSERT_EQ(found.size(), c.results.size());

  std::map<size_t, const json*> expected;
  for (const json& result : c.results) expected[result["input_index"].get<size_t>()] = &result;
  for (size_t n = 0; n < found.size(); ++n) {
    SCOPED_TRACE("result of input index " + std::to_string(written[n].entry));
    ASSERT_TRUE(expected.contains(written[n].entry));
    const json& result = *expected.at(written[n].entry);
    EXPECT_EQ(found[n]["image_id"], result["image_id"]);
    EXPECT_EQ(found[n].value("scores", json()), result.value("scores", json()));
    EXPECT_NEAR(found[n].value("score", -1.0), result.value("score", -1.0), 1e-9);
    const pose::Box& crop = refined.crop_boxes[person_of[n]];
    // Both are rounded to 3 decimals.
    const double tolerance_px = kCropTolerance_px * crop.w / c.size.width + 1e-3;
    for (size_t v = 0; v < result["keypoints"].size(); ++v) {
      const double tolerance = v % 3 == 2 ? 0 : tolerance_px;
      EXPECT_NEAR(found[n]["keypoints"][v].get<double>(), result["keypoints"][v].get<double>(), tolerance) << v;
    }
  }
}

void check_case(const fs::path& poses_file, const std::string& backend) {
  SCOPED_TRACE(poses_file.string() + " on " + backend);
  const dataset::PoseResults poses = dataset::read_pose_results(poses_file, {});
  const Case c = read_case(poses_file, poses);
  ASSERT_FALSE(c.pictures.empty());
  const std::unique_ptr<runtime::Session> session = open_session(poses_file.parent_path(), c, backend);
  const Selection selection = select(poses, c.pictures, &c.annotations);
  Refiner refiner(*session, pose::Skeleton::load(c.skeleton()), {true, c.nms(), 2});
  const Refined refined =
      refiner.run([&](size_t picture) { return image::decode(selection.pictures[picture]); }, selection.people);
  check_persons(c, selection, refined);
  check_results(c, poses, selection, refined);
}

TEST(RefineGolden, EqualsTheReferenceOnTheCpuBackend) {
  for (const fs::path& file : pose::golden_files(pose::goldens() / "refine", "_poses.json")) check_case(file, "cpu");
}

TEST(RefineGolden, EqualsTheReferenceOnTheReferenceBackend) {
  for (const fs::path& file : pose::golden_files(pose::goldens() / "refine", "_poses.json")) {
    check_case(file, "reference");
  }
}

}  // namespace
}  // namespace posefix::refine
