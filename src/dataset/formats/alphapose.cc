#include "dataset/formats/alphapose.h"

#include <fmt/format.h>

#include "base/file.h"
#include "dataset/formats/json_text.h"
#include "dataset/formats/result_list.h"

namespace posefix::dataset::formats {

EstimatorPoses read_alphapose(const PoseSource& source) {
  EstimatorPoses result;
  for (const std::filesystem::path& path : pose_files(source.in, ".json")) {
    const auto file = MappedFile::open(path);
    JsonCursor json(file->text(), path.string());
    if (json.peek() == '{') {
      throw json.error(
          json.mark().offset,
          "expected a list of people, got an object; run AlphaPose without --format, or convert its sep-json/ "
          "folder as openpose");
    }
    read_result_list(json, source.joints, {"coco17", "halpe26", "halpe136", "mpii16"}, result);
    json.finish();
  }
  if (result.joints.joints.empty()) result.joints = joint_set(source.joints.empty() ? "coco17" : source.joints);
  return result;
}

void write_alphapose(const EstimatorPoses& poses, const PoseTarget& target) {
  std::string text = "[";
  for (size_t i = 0; i < poses.poses.size(); ++i) {
    const EstimatedPose& pose = poses.poses[i];
    text += fmt::format("{}\n{{\"image_id\":{},\"category_id\":1,\"keypoints\":{},\"score\":{},\"box\":{}}}",
                        i == 0 ? "" : ",", json_string(pose.picture), json_keypoints(pose.keypoints),
                        json_number(pose.score.value_or(0)), json_box(box_or_extent(pose)));
  }
  write_file_atomically(target.out, text + "\n]\n");
}

}  // namespace posefix::dataset::formats
