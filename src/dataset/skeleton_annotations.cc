#include "dataset/skeleton_annotations.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "dataset/formats/joint_names.h"

namespace posefix::dataset {
namespace {

// The names that the file's first category gives, if any. Categories may stand behind the annotations, so the joints'
// number is left open while reading.
const std::vector<std::string>& joint_names(const CocoAnnotations& annotations) {
  static const std::vector<std::string> none;
  return annotations.categories.empty() ? none : annotations.categories.front().keypoints;
}

void put_in_order(CocoAnnotations& annotations, const std::vector<int>& order) {
  for (Annotation& annotation : annotations.annotations) {
    pose::Keypoints ordered(order.size());
    for (size_t j = 0; j < order.size(); ++j) {
      if (order[j] >= 0) ordered[j] = annotation.keypoints[static_cast<size_t>(order[j])];
    }
    annotation.num_keypoints = static_cast<int>(
        std::count_if(ordered.begin(), ordered.end(), [](const pose::Keypoint& joint) { return joint.score > 0; }));
    annotation.keypoints = std::move(ordered);
  }
  annotations.joints = static_cast<int>(order.size());
}

}  // namespace

std::vector<int> joint_order(const std::vector<std::string>& names, const pose::Skeleton& skeleton) {
  std::vector<std::string> known;
  known.reserve(names.size());
  for (const std::string& name : names) known.push_back(formats::joint_name(name));
  std::vector<int> order;
  for (const std::string& joint : skeleton.joints) {
    const auto found = std::find(known.begin(), known.end(), joint);
    order.push_back(found == known.end() ? -1 : static_cast<int>(found - known.begin()));
  }
  return order;
}

CocoAnnotations read_skeleton_annotations(const std::filesystem::path& path, const pose::Skeleton& skeleton) {
  CocoAnnotations annotations = read_coco_annotations(path);
  const std::vector<std::string>& names = joint_names(annotations);
  if (names.size() != static_cast<size_t>(annotations.joints) || names == skeleton.joints) {
    if (annotations.joints == skeleton.size() || annotations.annotations.empty()) return annotations;
    throw bad_input(
        "{}: people of {} joints, the skeleton {} has {}, and the file's category does not name {} joints "
        "to match them by; choose its skeleton",
        path.string(), annotations.joints, skeleton.name, skeleton.size(), annotations.joints);
  }
  const std::vector<int> order = joint_order(names, skeleton);
  if (std::all_of(order.begin(), order.end(), [](int joint) { return joint < 0; })) {
    throw bad_input("{}: none of the joints of the skeleton {} is among those of the file: {}", path.string(),
                    skeleton.name, names.empty() ? "it names none" : fmt::format("{}", fmt::join(names, ", ")));
  }
  put_in_order(annotations, order);
  return annotations;
}

}  // namespace posefix::dataset
