#include "dataset/formats/estimator_poses.h"

#include <fmt/format.h>

#include <map>

#include "base/error.h"
#include "base/spelling.h"
#include "dataset/formats/alphapose.h"
#include "dataset/formats/coco_results.h"
#include "dataset/formats/dataset_formats.h"
#include "dataset/formats/deeplabcut.h"
#include "dataset/formats/mediapipe.h"
#include "dataset/formats/mmpose.h"
#include "dataset/formats/openpose.h"
#include "dataset/formats/yolo.h"

namespace posefix::dataset::formats {
namespace {

constexpr PoseFormat kFormats[] = {
    {"alphapose", "", false, &read_alphapose, &write_alphapose},
    {"coco", "", false, &read_coco_results, &write_coco_results},
    {"deeplabcut", "", false, &read_deeplabcut, &write_deeplabcut},
    {"mediapipe", "mediapipe33", false, &read_mediapipe, &write_mediapipe},
    {"mmpose", "", true, &read_mmpose, &write_mmpose},
    {"openpose", "openpose_body25", true, &read_openpose, &write_openpose},
    {"yolo", "", true, &read_yolo, &write_yolo},
};

}  // namespace

const PoseFormat& pose_format(const std::string& name) {
  for (const PoseFormat& format : kFormats) {
    if (name == format.name) return format;
  }
  throw bad_input("estimator '{}' is not known; the nearest is '{}'; there are: {}", name,
                  nearest_name(name, pose_format_names()), fmt::join(pose_format_names(), ", "));
}

std::vector<std::string> pose_format_names() {
  std::vector<std::string> names;
  for (const PoseFormat& format : kFormats) names.emplace_back(format.name);
  return names;
}

JointSet joints_by_count(const std::string& name, size_t slots, const std::vector<std::string>& candidates,
                         const std::string& place) {
  if (!name.empty()) {
    JointSet set = joint_set(name);
    if (static_cast<size_t>(set.slots) == slots) return set;
    throw bad_input("{}: {} joints, but {} has {}", place, slots, name, set.slots);
  }
  std::string known;
  for (const std::string& candidate : candidates) {
    JointSet set = joint_set(candidate);
    if (static_cast<size_t>(set.slots) == slots) return set;
    known += fmt::format("{}{} ({})", known.empty() ? "" : ", ", candidate, set.slots);
  }
  throw bad_input("{}: {} joints; known by their number are {}; name another set with --joints", place, slots, known);
}

std::vector<std::filesystem::path> pose_files(const std::filesystem::path& in, std::string_view suffix) {
  std::error_code error;
  if (!std::filesystem::is_directory(in, error)) return {in};
  std::vector<std::filesystem::path> files = files_with_suffix(in, suffix);
  if (files.empty()) throw bad_input("{}: holds no file that ends with {}", in.string(), suffix);
  return files;
}

std::vector<std::pair<std::string, std::vector<size_t>>> by_picture(const EstimatorPoses& poses) {
  std::vector<std::pair<std::string, std::vector<size_t>>> pictures;
  std::map<std::string, size_t> positions;
  for (size_t i = 0; i < poses.poses.size(); ++i) {
    const auto [position, is_new] = positions.emplace(poses.poses[i].picture, pictures.size());
    if (is_new) pictures.emplace_back(poses.poses[i].picture, std::vector<size_t>());
    pictures[position->second].second.push_back(i);
  }
  return pictures;
}

std::vector<std::pair<std::string, std::vector<size_t>>> by_picture_stem(const EstimatorPoses& poses) {
  auto pictures = by_picture(poses);
  std::map<std::string, std::string> names;
  for (auto& [picture, people] : pictures) {
    const std::string stem = std::filesystem::path(picture).stem().string();
    const auto [first, is_new] = names.emplace(stem, picture);
    if (!is_new)
      throw bad_input("{} and {} would share the file '{}'; convert them one by one", first->second, picture, stem);
    picture = stem;
  }
  return pictures;
}

pose::Box box_or_extent(const EstimatedPose& pose) { return pose.box ? *pose.box : extent_of_labelled(pose.keypoints); }

}  // namespace posefix::dataset::formats
