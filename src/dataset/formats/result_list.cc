#include "dataset/formats/result_list.h"

#include <fmt/format.h>

#include "dataset/formats/json_text.h"

namespace posefix::dataset::formats {
namespace {

pose::Box read_box(JsonCursor& json) {
  const JsonCursor::Mark start = json.mark();
  std::vector<double> numbers;
  json.numbers(numbers);
  if (numbers.size() != 4) {
    throw json.error(start.offset, fmt::format("expected x, y, width, height, got {} numbers", numbers.size()));
  }
  return {numbers[0], numbers[1], numbers[2], numbers[3]};
}

// Reads one field of an entry; false if it is of no interest.
bool read_field(JsonCursor& json, std::string_view key, EstimatedPose& pose) {
  if (key == "image_id") {
    if (json.peek() == '"') {
      pose.picture = json.string();
    } else {
      pose.image_id = json.integer();
    }
  } else if (key == "file_name") {
    pose.picture = json.string();
  } else if (key == "score") {
    pose.score = json.number();
  } else if (key == "bbox" || key == "box") {
    pose.box = read_box(json);
  } else if (key == "idx" || key == "track_id") {
    const std::string name(key);
    pose.fields.push_back({name, json_compact(json.skip())});
  } else {
    return false;
  }
  return true;
}

}  // namespace

void settle_joints(const JsonCursor& json, size_t where, size_t slots, const std::string& joints,
                   const std::vector<std::string>& candidates, EstimatorPoses& out) {
  if (out.joints.joints.empty()) {
    out.joints = joints_by_count(joints, slots, candidates, json.error(where, "keypoints").what());
  }
  if (static_cast<size_t>(out.joints.slots) != slots) {
    throw json.error(where, fmt::format("{} joints, but the people before have {}", slots, out.joints.slots));
  }
}

pose::Keypoints read_flat_keypoints(JsonCursor& json, const std::string& joints,
                                    const std::vector<std::string>& candidates, EstimatorPoses& out) {
  const JsonCursor::Mark start = json.mark();
  std::vector<double> numbers;
  json.numbers(numbers);
  if (numbers.empty() || numbers.size() % 3 != 0) {
    throw json.error(start.offset, fmt::format("expected x, y, score triples, got {} numbers", numbers.size()));
  }
  settle_joints(json, start.offset, numbers.size() / 3, joints, candidates, out);
  pose::Keypoints keypoints;
  for (size_t j = 0; j < out.joints.joints.size(); ++j) {
    keypoints.push_back({numbers[3 * j], numbers[3 * j + 1], numbers[3 * j + 2]});
  }
  return keypoints;
}

void read_result_list(JsonCursor& json, const std::string& joints, const std::vector<std::string>& candidates,
                      EstimatorPoses& out) {
  json.array([&](size_t) {
    EstimatedPose pose;
    const JsonCursor::Mark start = json.mark();
    json.object([&](std::string_view key) {
      if (key == "keypoints") {
        pose.keypoints = read_flat_keypoints(json, joints, candidates, out);
      } else if (!read_field(json, key, pose)) {
        json.skip();
      }
    });
    if (pose.keypoints.empty()) throw json.error(start.offset, "field 'keypoints' is missing");
    if (pose.picture.empty() && !pose.image_id) throw json.error(start.offset, "field 'image_id' is missing");
    out.poses.push_back(std::move(pose));
  });
}

}  // namespace posefix::dataset::formats
