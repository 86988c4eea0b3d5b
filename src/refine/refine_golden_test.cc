// The reference's whole test path on real pictures: poses -> boxes -> crops -> network -> flip merge -> picture -> NMS
// -> results file. Cases are the NAME_poses.json of the golden folder; tolerances are its README's.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <optional>

#include "compiler/compile.h"
#include "dataset/coco_annotations.h"
#include "dataset/pose_results.h"
#include "model/posefix_net.h"
#include "pose/golden_test_files.h"
#include "refine/refiner.h"
#include "refine/selection.h"
#include "tensorfile/checkpoint.h"

namespace posefix::refine {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr double kBoxTolerance_px = 1e-3;
constexpr double kCropTolerance_px = 2e-3;

// Every file below the pictures' folder, to find a picture by the end of its path.
const std::vector<std::string>& picture_paths() {
  static const std::vector<std::string> paths = [] {
    std::vector<std::string> all;
    std::error_code error;
    for (const auto& entry : fs::recursive_directory_iterator(pose::golden_data(), error)) {
      if (entry.is_regular_file()) all.push_back(entry.path().generic_string());
    }
    return all;
  }();
  return paths;
}

// One case: what the files say and what follows from them.
struct Case {
  std::string name;
  json persons, results;
  dataset::CocoAnnotations annotations;
  fs::path pictures;  // folder that the annotations' file names start from
  image::CropSize size{0, 0};
  int joints = 0;
  bool ears_unused = false;  // PoseTrack's slots 3 and 4

  std::string skeleton() const { return joints == 16 ? "mpii16" : ears_unused ? "posetrack17" : "coco17"; }
  std::optional<double> nms() const { return joints == 16 ? std::nullopt : std::optional<double>(0.9); }
};

// "coco384" -> the longest NAME that the case's name starts with and that has NAME + suffix beside it.
std::string file_of_family(const fs::path& folder, std::string name, const std::string& suffix) {
  for (; !name.empty(); name.pop_back()) {
    if (fs::exists(folder / (name + suffix))) return name + suffix;
  }
  return "";
}

// Width of the crop from one mapped joint: crop_px = (image_px - left) / width_of_crop_box * W.
int crop_width(const json& person, const dataset::PoseResult& entry) {
  const json& box = person["crop_box"];
  for (size_t joint = 0; joint < entry.keypoints.size(); ++joint) {
    const double inside =
        (entry.keypoints[joint].x - box[0].get<double>()) / (box[2].get<double>() - box[0].get<double>());
    if (entry.keypoints[joint].score > 0 && std::abs(inside) > 0.2) {
      return static_cast<int>(std::lround(person["input_crop_px"][joint][0].get<double>() / inside / 32)) * 32;
    }
  }
  return 0;
}

Case read_case(const fs::path& poses_file, const dataset::PoseResults& poses) {
  const fs::path folder = poses_file.parent_path();
  Case c;
  c.name = poses_file.stem().string();
  c.name.resize(c.name.size() - std::string("_poses").size());
  c.persons = pose::read_golden(folder / (c.name + "_persons.json"));
  c.results = pose::read_golden(folder / (c.name + "_results.json"));
  std::string listing = file_of_family(folder, c.name, "_annotations.json");
  if (listing.empty()) listing = file_of_family(folder, c.name, "_images.json");
  c.annotations = dataset::read_coco_annotations(folder / listing);

  const json& first = c.persons.at(0);
  c.joints = static_cast<int>(first["valid"].size());
  c.ears_unused = first["valid"] != json(std::vector<int>(first["valid"].size(), 1));
  const int width = crop_width(first, poses.entries.at(first["index"].get<size_t>()));
  c.size = {width / 3 * 4, width};

  const std::string picture = first["imgpath"];
  const std::string& file_name = c.annotations.find_image(first["image_id"])->file_name;
  for (const std::string& path : picture_paths()) {
    if (path.ends_with("/" + picture)) c.pictures = path.substr(0, path.size() - file_name.size() - 1);
  }
  EXPECT_FALSE(c.pictures.empty()) << picture << " is not below " << pose::golden_data();
  return c;
}

std::string backbone_of(const NamedTensors& weights) {
  for (const char* depth : {"152", "101", "50"}) {
    if (weights.contains(std::string("resnet_v1_") + depth + "/conv1/weights")) return std::string("resnet") + depth;
  }
  return "";
}

// The model folder of the case's family, or the first one that holds a checkpoint of as many joints.
NamedTensors read_weights(const fs::path& folder, const Case& c) {
  std::vector<fs::path> folders;
  const std::string own = file_of_family(folder, c.name, "_model");
  if (!own.empty()) folders.push_back(folder / own);
  for (const fs::path& other : pose::golden_files(folder, "_model")) folders.push_back(other);
  for (const fs::path& model : folders) {
    for (const fs::path& index : pose::golden_files(model, ".index")) {
      NamedTensors weights = tensorfile::read_checkpoint(fs::path(index).replace_extension());
      if (weights.at("out/weights").shape().back() == c.joints) return weights;
    }
  }
  ADD_FAILURE() << folder << " holds no checkpoint of " << c.joints << " joints";
  return {};
}

std::unique_ptr<runtime::Session> open_session(const fs::path& folder, const Case& c, const std::string& backend) {
  const NamedTensors weights = read_weights(folder, c);
  model::ModelConfig config;
  config.backbone = backbone_of(weights);
  config.width =
      "1/" + std::to_string(64 / weights.at("resnet_v1_" + config.backbone.substr(6) + "/conv1/weights").shape()[3]);
  if (config.width == "1/1") config.width = "1";
  config.input_size = {c.size.height, c.size.width};
  config.skeleton = c.skeleton();
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
