#include "dataset/formats/convert_poses.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "dataset/formats/json_text.h"
#include "dataset/pose_results.h"

namespace posefix::dataset::formats {
namespace {

namespace fs = std::filesystem;

std::optional<int64_t> number_of(const std::string& picture) {
  const std::string stem = fs::path(picture).stem().string();
  const bool digits = std::all_of(stem.begin(), stem.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
  if (stem.empty() || stem.size() > 18 || !digits) return std::nullopt;
  return std::stoll(stem);
}

std::string coco_name(int64_t image_id) { return fmt::format("{:012}", image_id); }

// Ids of the annotations' pictures by path, file name and stem; a key that fits several is not used.
class AnnotatedIds {
 public:
  explicit AnnotatedIds(const CocoAnnotations& annotations) {
    for (const AnnotatedImage& image : annotations.images) {
      const fs::path path(image.file_name);
      for (const std::string& key :
           std::set<std::string>{image.file_name, path.filename().string(), path.stem().string()}) {
        const auto [entry, is_new] = ids_.emplace(key, image.id);
        if (!is_new) ambiguous_.insert(key);
      }
    }
  }

  std::optional<int64_t> find(const std::string& picture) const {
    const fs::path path(picture);
    for (const std::string& key : {picture, path.filename().string(), path.stem().string()}) {
      const auto entry = ids_.find(key);
      if (entry != ids_.end() && !ambiguous_.contains(key)) return entry->second;
    }
    return std::nullopt;
  }

 private:
  std::map<std::string, int64_t> ids_;
  std::set<std::string> ambiguous_;
};

class PoseFileWriter {
 public:
  PoseFileWriter(const EstimatorPoses& poses, const pose::Skeleton& skeleton, const PictureNames& names)
      : poses_(poses), skeleton_(skeleton), names_(names) {}

  std::vector<std::string> write(const fs::path& out) {
    map_joints();
    number_pictures();
    std::string text = "[";
    for (const EstimatedPose& pose : poses_.poses) append(pose, text);
    write_file_atomically(out, text + "\n]\n");
    note(empty_, "people have no joint of the skeleton and were left out");
    note(unknown_, "people were left out: their pictures are not in the annotations");
    note(missing_, "people's pictures are not in the folder of pictures");
    note(guessed_, "people's file names were completed with .jpg; give --images to look them up");
    return std::move(notes_);
  }

 private:
  void note(size_t count, const char* what) {
    if (count > 0) notes_.push_back(fmt::format("{} {}", count, what));
  }

  void map_joints() {
    std::string absent;
    for (const std::string& joint : skeleton_.joints) {
      source_.push_back(poses_.joints.find(joint));
      const bool ignored = skeleton_.is_ignored(static_cast<int>(source_.size()) - 1);
      if (source_.back() < 0 && !ignored) absent += fmt::format("{}{}", absent.empty() ? "" : ", ", joint);
    }
    if (std::all_of(source_.begin(), source_.end(), [](int joint) { return joint < 0; })) {
      throw bad_input("no joint of the skeleton {} ({}) is among the estimator's: {}", skeleton_.name,
                      fmt::join(skeleton_.joints, ", "), fmt::join(poses_.joints.joints, ", "));
    }
    if (!absent.empty())
      notes_.push_back(fmt::format("joints that {} lacks get score 0: {}", poses_.joints.name, absent));
  }

  // Numbers for pictures that only have a name.
  void number_pictures() {
    if (names_.annotations != nullptr) annotated_.emplace(*names_.annotations);
    std::set<std::string> unnumbered;
    bool all_numbers = true;
    std::set<int64_t> numbers;
    for (const EstimatedPose& pose : poses_.poses) {
      if (pose.image_id || annotated_ || !unnumbered.insert(file_name(pose)).second) continue;
      const std::optional<int64_t> number = number_of(pose.picture);
      all_numbers = all_numbers && number && numbers.insert(*number).second;
    }
    int64_t next = 1;
    for (const std::string& name : unnumbered) ids_[name] = all_numbers ? *number_of(name) : next++;
    if (!all_numbers) {
      notes_.push_back(fmt::format("image ids 1..{} are the pictures in the order of their names", unnumbered.size()));
    }
  }

  // The picture's name with its extension, or "" if only its number is known.
  std::string file_name(const EstimatedPose& pose) const {
    const bool looked_up = names_.pictures != nullptr && names_.pictures->given();
    if (looked_up) {
      std::optional<std::string> found;
      if (!pose.picture.empty()) {
        found = names_.pictures->find(pose.picture);
      } else if (pose.image_id) {
        found = names_.pictures->find(coco_name(*pose.image_id));
        if (!found) found = names_.pictures->find_number(*pose.image_id);
      }
      if (found) return *found;
    }
    if (pose.picture.empty() || fs::path(pose.picture).has_extension()) return pose.picture;
    return pose.picture + ".jpg";
  }

  std::optional<int64_t> image_id(const EstimatedPose& pose, const std::string& name) {
    if (annotated_) {
      const std::optional<int64_t> id = pose.picture.empty() ? pose.image_id : annotated_->find(pose.picture);
      if (!id) ++unknown_;
      return id;
    }
    return pose.image_id ? pose.image_id : std::optional(ids_.at(name));
  }

  void count_names(const EstimatedPose& pose) {
    if (names_.pictures != nullptr && names_.pictures->given()) {
      if (!pose.picture.empty() && !names_.pictures->find(pose.picture)) ++missing_;
    } else if (!pose.picture.empty() && !fs::path(pose.picture).has_extension()) {
      ++guessed_;
    }
  }

  void append(const EstimatedPose& pose, std::string& text) {
    pose::Keypoints mapped, found;
    double sum = 0;
    for (const int joint : source_) {
      mapped.push_back(joint < 0 ? pose::Keypoint() : pose.keypoints[static_cast<size_t>(joint)]);
      if (!(mapped.back().score > 0)) continue;
      found.push_back(mapped.back());
      sum += mapped.back().score;
    }
    if (found.empty()) {
      ++empty_;
      return;
    }
    const std::string name = file_name(pose);
    const std::optional<int64_t> id = image_id(pose, name);
    if (!id) return;
    count_names(pose);
    const double score = pose.score.value_or(sum / static_cast<double>(found.size()));
    text += fmt::format("{}\n{{\"image_id\":{},\"category_id\":1,\"keypoints\":{},\"score\":{}",
                        text.size() > 1 ? "," : "", *id, json_keypoints(mapped), json_number(score));
    if (pose.box) {
      text += ",\"bbox\":" + json_box(*pose.box);
    } else if (found.size() < mapped.size()) {
      text += ",\"bbox\":" + json_box(pose::box_of_joints(found, {}));
    }
    if (!name.empty()) text += ",\"file_name\":" + json_string(name);
    for (const ExtraField& field : pose.fields) text += fmt::format(",{}:{}", json_string(field.name), field.json);
    text += "}";
  }

  const EstimatorPoses& poses_;
  const pose::Skeleton& skeleton_;
  const PictureNames& names_;
  std::vector<int> source_;  // the estimator's joint of every joint of the skeleton, -1: none
  std::optional<AnnotatedIds> annotated_;
  std::map<std::string, int64_t> ids_;
  std::vector<std::string> notes_;
  size_t empty_ = 0, unknown_ = 0, missing_ = 0, guessed_ = 0;
};

std::string picture_name(const PoseResult& entry, const PictureNames& names) {
  if (entry.file_name) return *entry.file_name;
  if (names.annotations != nullptr) {
    if (const AnnotatedImage* image = names.annotations->find_image(entry.image_id)) return image->file_name;
  }
  if (names.pictures != nullptr && names.pictures->given()) {
    if (const auto found = names.pictures->find(coco_name(entry.image_id))) return *found;
    if (const auto found = names.pictures->find_number(entry.image_id)) return *found;
  }
  return coco_name(entry.image_id) + ".jpg";
}

// Joints of `from` by name, then the middles that the skeleton has no joint for.
pose::Keypoints to_joint_set(const pose::Keypoints& from, const pose::Skeleton& skeleton, const JointSet& joints) {
  pose::Keypoints out(static_cast<size_t>(joints.slots));
  const auto joint = [&](const std::string& name) {
    const int index = skeleton.find(name);
    return index < 0 ? pose::Keypoint() : from[static_cast<size_t>(index)];
  };
  for (size_t j = 0; j < joints.joints.size(); ++j) {
    out[j] = joint(joints.joints[j]);
    if (!(out[j].score > 0)) out[j] = {};
  }
  for (const JointSet::Middle& middle : joints.middles) {
    const pose::Keypoint left = joint(middle.left), right = joint(middle.right);
    if (skeleton.find(middle.joint) >= 0 || !(left.score > 0) || !(right.score > 0)) continue;
    out[static_cast<size_t>(joints.find(middle.joint))] = {(left.x + right.x) / 2, (left.y + right.y) / 2,
                                                           std::min(left.score, right.score)};
  }
  return out;
}

}  // namespace

std::vector<std::string> write_pose_file(const fs::path& out, const EstimatorPoses& poses,
                                         const pose::Skeleton& skeleton, const PictureNames& names) {
  return PoseFileWriter(poses, skeleton, names).write(out);
}

EstimatorPoses read_pose_file(const fs::path& path, const pose::Skeleton& skeleton, const JointSet& joints,
                              const PictureNames& names) {
  PoseReadOptions options;
  options.joints = skeleton.size();
  const PoseResults results = read_pose_results(path, options);
  EstimatorPoses poses;
  poses.joints = joints;
  for (const PoseResult& entry : results.entries) {
    EstimatedPose pose;
    pose.picture = picture_name(entry, names);
    pose.image_id = entry.image_id;
    pose.keypoints = to_joint_set(entry.keypoints, skeleton, joints);
    pose.score = entry.score;
    pose.box = entry.bbox;
    poses.poses.push_back(std::move(pose));
  }
  return poses;
}

}  // namespace posefix::dataset::formats
