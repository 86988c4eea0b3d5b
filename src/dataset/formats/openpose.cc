#include "dataset/formats/openpose.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "dataset/formats/json_text.h"
#include "dataset/json_cursor.h"

namespace posefix::dataset::formats {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = "_keypoints";

std::string picture_of(const fs::path& path) {
  std::string stem = path.stem().string();
  if (stem.size() > kSuffix.size() && stem.ends_with(kSuffix)) stem.resize(stem.size() - kSuffix.size());
  return stem;
}

class Reader {
 public:
  explicit Reader(const PoseSource& source) : source_(source) {}

  EstimatorPoses read() {
    for (const fs::path& path : pose_files(source_.in, ".json")) read_picture(path);
    if (found_ > 0 && farthest_ <= 1) {
      throw bad_input(
          "{}: all coordinates lie between -1 and 1: they are normalised; run OpenPose with --keypoint_scale "
          "0",
          source_.in.string());
    }
    if (result_.joints.joints.empty())
      result_.joints = joint_set(source_.joints.empty() ? "openpose_body25" : source_.joints);
    return std::move(result_);
  }

 private:
  void read_picture(const fs::path& path) {
    const auto file = MappedFile::open(path);
    JsonCursor json(file->text(), path.string());
    const JsonCursor::Mark start = json.mark();
    bool has_people = false;
    json.object([&](std::string_view key) {
      if (key != "people") {
        json.skip();
        return;
      }
      has_people = true;
      json.array([&](size_t) { read_person(json, picture_of(path)); });
    });
    json.finish();
    if (!has_people)
      throw json.error(start.offset, "field 'people' is missing; expected OpenPose's --write_json output");
  }

  void read_person(JsonCursor& json, const std::string& picture) {
    std::vector<double> numbers;
    bool has_pose = false;
    const JsonCursor::Mark start = json.mark();
    size_t where = start.offset;
    json.object([&](std::string_view key) {
      if (key == "pose_keypoints_2d" || key == "pose_keypoints") {
        where = json.mark().offset;
        json.numbers(numbers);
        has_pose = true;
      } else {
        json.skip();
      }
    });
    if (!has_pose) throw json.error(start.offset, "field 'pose_keypoints_2d' is missing");
    if (numbers.empty()) return;  // only a hand or a face was found
    if (numbers.size() % 3 != 0) {
      throw json.error(where, fmt::format("expected x, y, score triples, got {} numbers", numbers.size()));
    }
    take_joints(json, where, numbers.size() / 3);
    EstimatedPose pose;
    pose.picture = picture;
    for (size_t j = 0; j + 2 < numbers.size(); j += 3) {
      const bool found = numbers[j + 2] > 0;
      pose.keypoints.push_back(found ? pose::Keypoint{numbers[j], numbers[j + 1], numbers[j + 2]} : pose::Keypoint{});
      if (!found) continue;
      ++found_;
      farthest_ = std::max({farthest_, std::abs(numbers[j]), std::abs(numbers[j + 1])});
    }
    result_.poses.push_back(std::move(pose));
  }

  void take_joints(const JsonCursor& json, size_t where, size_t count) {
    if (result_.joints.joints.empty()) {
      result_.joints = joints_by_count(source_.joints, count, {"openpose_body25", "openpose_coco18"},
                                       json.error(where, "pose_keypoints_2d").what());
    }
    if (static_cast<size_t>(result_.joints.slots) != count) {
      throw json.error(where, fmt::format("{} joints, but the people before have {}", count, result_.joints.slots));
    }
  }

  const PoseSource& source_;
  EstimatorPoses result_;
  double farthest_ = 0;
  size_t found_ = 0;
};

}  // namespace

EstimatorPoses read_openpose(const PoseSource& source) { return Reader(source).read(); }

void write_openpose(const EstimatorPoses& poses, const PoseTarget& target) {
  for (const auto& [stem, people] : by_picture_stem(poses)) {
    std::string text;
    for (const size_t person : people) {
      text += fmt::format(
          "{}\n{{\"person_id\":[-1],\"pose_keypoints_2d\":{},\"face_keypoints_2d\":[],"
          "\"hand_left_keypoints_2d\":[],\"hand_right_keypoints_2d\":[],\"pose_keypoints_3d\":[],"
          "\"face_keypoints_3d\":[],\"hand_left_keypoints_3d\":[],\"hand_right_keypoints_3d\":[]}}",
          text.empty() ? "" : ",", json_keypoints(poses.poses[person].keypoints));
    }
    write_file_atomically(target.out / fmt::format("{}{}.json", stem, kSuffix),
                          fmt::format("{{\"version\":1.3,\"people\":[{}]}}\n", text));
  }
}

}  // namespace posefix::dataset::formats
