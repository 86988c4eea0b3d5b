#include "cli/inspect_data.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/options.h"
#include "dataset/coco_annotations.h"
#include "dataset/pose_results.h"
#include "image/image.h"
#include "model/config.h"
#include "pose/skeleton.h"

namespace posefix::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json describe_poses(const fs::path& path) {
  const dataset::PoseResults poses = dataset::read_pose_results(path, {});
  std::set<int64_t> images;
  std::pair<double, double> scores{0, 0};
  for (const dataset::PoseResult& entry : poses.entries) {
    if (images.empty()) scores = {entry.score, entry.score};
    images.insert(entry.image_id);
    scores = {std::min(scores.first, entry.score), std::max(scores.second, entry.score)};
  }
  return {{"format", "poses (COCO keypoint results)"},
          {"poses", poses.entries.size()},
          {"pictures", images.size()},
          {"joints", poses.entries.empty() ? 0 : poses.entries.front().keypoints.size()},
          {"scores", {scores.first, scores.second}}};
}

Json describe_annotations(const fs::path& path) {
  const dataset::CocoAnnotations annotations = dataset::read_coco_annotations(path, {.require_area = false});
  const auto labelled = std::count_if(annotations.annotations.begin(), annotations.annotations.end(),
                                      [](const dataset::Annotation& person) { return person.num_keypoints > 0; });
  Json categories = Json::array();
  for (const dataset::Category& category : annotations.categories) categories.push_back(category.name);
  return {{"format", "COCO annotations"},
          {"pictures", annotations.images.size()},
          {"people", annotations.annotations.size()},
          {"people_with_joints", labelled},
          {"joints", annotations.joints},
          {"categories", categories}};
}

Json describe_errors(std::string_view text, const fs::path& path) {
  const Json errors = Json::parse(text, nullptr, false);
  if (!errors.is_object()) throw bad_input("{}: error statistics whose JSON is damaged; fit them again", path.string());
  return {{"format", "error statistics of an estimator"},
          {"skeleton", errors.value("skeleton", Json())},
          {"joints", errors.value("joints", Json::object()).size()}};
}

Json describe_skeleton(const fs::path& path) {
  const pose::Skeleton skeleton = pose::Skeleton::load(path.string());
  return {{"format", "skeleton"},
          {"name", skeleton.name},
          {"joints", skeleton.joints},
          {"flip_pairs", skeleton.flip_pairs.size()},
          {"limbs", skeleton.limbs.size()}};
}

// The network's keys; those of the other sections are checked by the verb that uses them.
Json describe_configuration(const fs::path& path) {
  Options options;
  model::ModelConfig config;
  model::add_options(options, config);
  options.only("model");
  options.load(path);
  return {{"format", "configuration"},
          {"backbone", config.backbone},
          {"width", config.width},
          {"input_size", config.input_size},
          {"skeleton", config.skeleton}};
}

Json describe_picture(const fs::path& path) {
  const image::ImageHeader header = image::read_header(path);
  return {{"format", "picture"}, {"width_px", header.width}, {"height_px", header.height}};
}

bool is_picture(std::string_view text) { return text.starts_with("\xFF\xD8\xFF") || text.starts_with("\x89PNG"); }

// Past a byte order mark and white space.
std::string_view content(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  return text;
}

std::optional<Json> describe(const fs::path& path) {
  const auto file = MappedFile::open(path);
  const std::string_view text = content(file->text());
  const bool is_yaml = path.extension() == ".yaml" || path.extension() == ".yml";
  if (is_yaml) return text.find("flip_pairs:") != text.npos ? describe_skeleton(path) : describe_configuration(path);
  if (is_picture(text)) return describe_picture(path);
  if (text.starts_with('[')) return describe_poses(path);
  const bool is_weights = text.substr(0, 1 << 20).find("\"weight_map\"") != text.npos;  // of a split safetensors model
  if (!text.starts_with('{') || is_weights) return std::nullopt;
  return text.find("\"posefix-errors-") != text.npos ? describe_errors(text, path) : describe_annotations(path);
}

}  // namespace

std::optional<Json> describe_data_file(const fs::path& path) {
  if (!fs::is_regular_file(path)) return std::nullopt;
  std::optional<Json> found = describe(path);
  if (!found) return std::nullopt;
  Json json = {{"file", path.string()}};
  json.update(*found);
  return json;
}

}  // namespace posefix::cli
