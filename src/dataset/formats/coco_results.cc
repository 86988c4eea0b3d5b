#include "dataset/formats/coco_results.h"

#include <fmt/format.h>

#include "base/file.h"
#include "dataset/formats/json_text.h"
#include "dataset/formats/result_list.h"

namespace posefix::dataset::formats {

EstimatorPoses read_coco_results(const PoseSource& source) {
  EstimatorPoses result;
  for (const std::filesystem::path& path : pose_files(source.in, ".json")) {
    const auto file = MappedFile::open(path);
    JsonCursor json(file->text(), path.string());
    read_result_list(json, source.joints, {"coco17", "halpe26", "halpe136", "wholebody133", "mpii16"}, result);
    json.finish();
  }
  if (result.joints.joints.empty()) result.joints = joint_set(source.joints.empty() ? "coco17" : source.joints);
  return result;
}

void write_coco_results(const EstimatorPoses& poses, const PoseTarget& target) {
  std::string text = "[";
  for (size_t i = 0; i < poses.poses.size(); ++i) {
    const EstimatedPose& pose = poses.poses[i];
    const std::string id = pose.image_id ? fmt::format("{}", *pose.image_id) : json_string(pose.picture);
    text += fmt::format("{}\n{{\"image_id\":{},\"category_id\":1,\"keypoints\":{},\"score\":{},\"file_name\":{}",
                        i == 0 ? "" : ",", id, json_keypoints(pose.keypoints), json_number(pose.score.value_or(0)),
                        json_string(pose.picture));
    text += pose.box ? fmt::format(",\"bbox\":{}}}", json_box(*pose.box)) : "}";
  }
  write_file_atomically(target.out, text + "\n]\n");
}

}  // namespace posefix::dataset::formats
