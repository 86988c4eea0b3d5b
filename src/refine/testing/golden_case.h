// The cases of golden/refine: what their files say and what follows from them. For tests alone.
#pragma once

#include <cmath>
#include <optional>

#include "dataset/coco_annotations.h"
#include "dataset/pose_results.h"
#include "image/crop.h"
#include "model/posefix_net.h"
#include "pose/golden_test_files.h"
#include "tensorfile/checkpoint.h"

namespace posefix::refine {

// Pixels of the crop, for the fixed-point warp that this project has.
inline constexpr double kCropTolerance_px = 2e-3;

// Every file below the pictures' folder, to find a picture by the end of its path.
inline const std::vector<std::string>& picture_paths() {
  static const std::vector<std::string> paths = [] {
    std::vector<std::string> all;
    std::error_code error;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(pose::golden_data(), error)) {
      if (entry.is_regular_file()) all.push_back(entry.path().generic_string());
    }
    return all;
  }();
  return paths;
}

// One case: what the files say and what follows from them.
struct Case {
  std::string name;
  nlohmann::json persons, results;
  dataset::CocoAnnotations annotations;
  std::filesystem::path listing;   // annotations or pictures
  std::filesystem::path pictures;  // folder that the annotations' file names start from
  image::CropSize size{0, 0};
  int joints = 0;
  bool ears_unused = false;  // PoseTrack's slots 3 and 4

  std::string skeleton() const { return joints == 16 ? "mpii16" : ears_unused ? "posetrack17" : "coco17"; }
  std::optional<double> nms() const { return joints == 16 ? std::nullopt : std::optional<double>(0.9); }
};

// "coco384" -> the longest NAME that the case's name starts with and that has NAME + suffix beside it.
inline std::string file_of_family(const std::filesystem::path& folder, std::string name, const std::string& suffix) {
  for (; !name.empty(); name.pop_back()) {
    if (std::filesystem::exists(folder / (name + suffix))) return name + suffix;
  }
  return "";
}

// Width of the crop from one mapped joint: crop_px = (image_px - left) / width_of_crop_box * W.
inline int crop_width(const nlohmann::json& person, const dataset::PoseResult& entry) {
  const nlohmann::json& box = person["crop_box"];
  for (size_t joint = 0; joint < entry.keypoints.size(); ++joint) {
    const double inside =
        (entry.keypoints[joint].x - box[0].get<double>()) / (box[2].get<double>() - box[0].get<double>());
    if (entry.keypoints[joint].score > 0 && std::abs(inside) > 0.2) {
      return static_cast<int>(std::lround(person["input_crop_px"][joint][0].get<double>() / inside / 32)) * 32;
    }
  }
  return 0;
}

inline Case read_case(const std::filesystem::path& poses_file, const dataset::PoseResults& poses) {
  const std::filesystem::path folder = poses_file.parent_path();
  Case c;
  c.name = poses_file.stem().string();
  c.name.resize(c.name.size() - std::string("_poses").size());
  c.persons = pose::read_golden(folder / (c.name + "_persons.json"));
  c.results = pose::read_golden(folder / (c.name + "_results.json"));
  std::string listing = file_of_family(folder, c.name, "_annotations.json");
  if (listing.empty()) listing = file_of_family(folder, c.name, "_images.json");
  c.listing = folder / listing;
  c.annotations = dataset::read_coco_annotations(c.listing);

  const nlohmann::json& first = c.persons.at(0);
  c.joints = static_cast<int>(first["valid"].size());
  c.ears_unused = first["valid"] != nlohmann::json(std::vector<int>(first["valid"].size(), 1));
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

inline std::string backbone_of(const NamedTensors& weights) {
  for (const char* depth : {"152", "101", "50"}) {
    if (weights.contains(std::string("resnet_v1_") + depth + "/conv1/weights")) return std::string("resnet") + depth;
  }
  return "";
}

// The model folder of the case's family, or the first one that holds a checkpoint of as many joints: its prefix.
inline std::filesystem::path checkpoint_of(const std::filesystem::path& folder, const Case& c) {
  std::vector<std::filesystem::path> folders;
  const std::string own = file_of_family(folder, c.name, "_model");
  if (!own.empty()) folders.push_back(folder / own);
  for (const std::filesystem::path& other : pose::golden_files(folder, "_model")) folders.push_back(other);
  for (const std::filesystem::path& model : folders) {
    for (std::filesystem::path index : pose::golden_files(model, ".index")) {
      const std::filesystem::path prefix = index.replace_extension();
      const NamedTensors weights = tensorfile::read_checkpoint(prefix);
      if (weights.at("out/weights").shape().back() == c.joints) return prefix;
    }
  }
  ADD_FAILURE() << folder << " holds no checkpoint of " << c.joints << " joints";
  return {};
}

// The network that the checkpoint's shapes tell.
inline model::ModelConfig config_of(const Case& c, const NamedTensors& weights) {
  model::ModelConfig config;
  config.backbone = backbone_of(weights);
  const Shape& first = weights.at("resnet_v1_" + config.backbone.substr(6) + "/conv1/weights").shape();
  config.width = first[3] == 64 ? "1" : "1/" + std::to_string(64 / first[3]);
  config.input_size = {c.size.height, c.size.width};
  config.skeleton = c.skeleton();
  return config;
}

}  // namespace posefix::refine
