#include "dataset/formats/mmpose.h"

#include <fmt/format.h>

#include "base/file.h"
#include "dataset/formats/json_text.h"
#include "dataset/formats/result_list.h"

namespace posefix::dataset::formats {
namespace {

namespace fs = std::filesystem;

// A list of numbers, or of lists of `row` numbers.
struct Flat {
  std::vector<double> values;
  size_t row = 1;
  size_t where = 0;
};

Flat read_flat(JsonCursor& json) {
  Flat flat;
  flat.where = json.mark().offset;
  std::vector<double> row;
  json.array([&](size_t index) {
    if (json.peek() != '[') {
      flat.values.push_back(json.number());
      return;
    }
    const size_t where = json.mark().offset;
    json.numbers(row);
    if (index == 0) flat.row = row.size();
    if (row.size() != flat.row) {
      throw json.error(where, fmt::format("expected {} numbers as in the rows before, got {}", flat.row, row.size()));
    }
    flat.values.insert(flat.values.end(), row.begin(), row.end());
  });
  return flat;
}

class Reader {
 public:
  explicit Reader(const PoseSource& source) : source_(source) {}

  EstimatorPoses read() {
    for (const fs::path& path : pose_files(source_.in, ".json")) read_file(path);
    if (result_.joints.joints.empty()) result_.joints = joint_set(source_.joints.empty() ? "coco17" : source_.joints);
    return std::move(result_);
  }

 private:
  void read_file(const fs::path& path) {
    const auto file = MappedFile::open(path);
    JsonCursor json(file->text(), path.string());
    picture_ = path.stem().string();
    if (json.peek() == '[') {
      read_instances(json);
    } else {
      if (picture_.starts_with("results_")) picture_.erase(0, 8);
      const JsonCursor::Mark start = json.mark();
      read_names(json);
      json.go_to(start);
      bool has_instances = false;
      json.object([&](std::string_view key) {
        if (key == "instance_info") {
          has_instances = true;
          read_instances(json);
        } else {
          json.skip();
        }
      });
      if (!has_instances) throw json.error(start.offset, "field 'instance_info' is missing");
    }
    json.finish();
  }

  // meta_info/keypoint_id2name, wherever it stands in the object.
  void read_names(JsonCursor& json) {
    std::vector<std::string> names;
    json.object([&](std::string_view key) {
      if (key != "meta_info" || json.peek() != '{') {
        json.skip();
        return;
      }
      json.object([&](std::string_view field) {
        if (field != "keypoint_id2name" || json.peek() != '{') {
          json.skip();
          return;
        }
        json.object([&](std::string_view) { names.push_back(joint_name(json.string())); });
      });
    });
    if (names.empty() || !source_.joints.empty()) return;
    result_.joints = {"meta_info", names, {}, static_cast<int>(names.size())};
  }

  void read_instances(JsonCursor& json) {
    json.array([&](size_t) { read_instance(json); });
  }

  void read_instance(JsonCursor& json) {
    const JsonCursor::Mark start = json.mark();
    EstimatedPose pose;
    std::optional<Flat> keypoints, scores, box;
    std::optional<int64_t> frame;
    bool is_frame = false;
    const size_t first = result_.poses.size();
    json.object([&](std::string_view key) {
      if (key == "keypoints") {
        keypoints = read_flat(json);
      } else if (key == "keypoint_scores") {
        scores = read_flat(json);
      } else if (key == "bbox") {
        box = read_flat(json);
      } else if (key == "bbox_score" || key == "score") {
        pose.score = json.number();
      } else if (key == "image_id") {
        if (json.peek() == '"') {
          pose.picture = json.string();
        } else {
          pose.image_id = json.integer();
        }
      } else if (key == "frame_id") {
        frame = json.integer();
      } else if (key == "instances") {
        is_frame = true;
        read_instances(json);
      } else {
        json.skip();
      }
    });
    if (is_frame) {
      for (size_t i = first; frame && i < result_.poses.size(); ++i) {
        result_.poses[i].image_id = frame;
        result_.poses[i].picture.clear();
      }
      return;
    }
    if (!keypoints) throw json.error(start.offset, "field 'keypoints' is missing");
    const bool is_result = pose.image_id || !pose.picture.empty();
    if (pose.picture.empty() && !pose.image_id) pose.picture = picture_;
    take_joints(json, *keypoints, scores, pose);
    if (box) take_box(json, *box, is_result, pose);
    result_.poses.push_back(std::move(pose));
  }

  void take_joints(JsonCursor& json, const Flat& keypoints, const std::optional<Flat>& scores, EstimatedPose& pose) {
    const size_t row = keypoints.row == 1 ? 3 : keypoints.row;
    if ((row != 2 && row != 3) || keypoints.values.empty() || keypoints.values.size() % row != 0) {
      throw json.error(keypoints.where, "expected [[x, y], ...] or [x, y, score, ...]");
    }
    const size_t slots = keypoints.values.size() / row;
    if (row == 2 && (!scores || scores->values.size() != slots)) {
      throw json.error(keypoints.where, fmt::format("{} joints, but 'keypoint_scores' has {} numbers", slots,
                                                    scores ? scores->values.size() : 0));
    }
    settle_joints(json, keypoints.where, slots, source_.joints, {"coco17", "halpe26", "wholebody133", "mpii16"},
                  result_);
    for (size_t j = 0; j < result_.joints.joints.size(); ++j) {
      const double* joint = &keypoints.values[row * j];
      pose.keypoints.push_back({joint[0], joint[1], row == 2 ? scores->values[j] : joint[2]});
    }
  }

  static void take_box(JsonCursor& json, const Flat& box, bool is_result, EstimatedPose& pose) {
    const std::vector<double>& b = box.values;
    if (b.size() != 4) throw json.error(box.where, fmt::format("expected 4 numbers, got {}", b.size()));
    pose.box = is_result ? pose::Box{b[0], b[1], b[2], b[3]} : pose::Box{b[0], b[1], b[2] - b[0], b[3] - b[1]};
  }

  const PoseSource& source_;
  EstimatorPoses result_;
  std::string picture_;
};

std::string instance_text(const EstimatedPose& pose) {
  std::string points, scores;
  for (const pose::Keypoint& joint : pose.keypoints) {
    fmt::format_to(std::back_inserter(points), "{}[{},{}]", points.empty() ? "" : ",", json_number(joint.x),
                   json_number(joint.y));
    fmt::format_to(std::back_inserter(scores), "{}{}", scores.empty() ? "" : ",", json_number(joint.score));
  }
  const pose::Box box = box_or_extent(pose);
  return fmt::format("{{\"keypoints\":[{}],\"keypoint_scores\":[{}],\"bbox\":[[{},{},{},{}]],\"bbox_score\":{}}}",
                     points, scores, json_number(box.x), json_number(box.y), json_number(box.x + box.w),
                     json_number(box.y + box.h), json_number(pose.score.value_or(0)));
}

}  // namespace

EstimatorPoses read_mmpose(const PoseSource& source) { return Reader(source).read(); }

void write_mmpose(const EstimatorPoses& poses, const PoseTarget& target) {
  for (const auto& [stem, people] : by_picture_stem(poses)) {
    std::string text = "[";
    for (const size_t person : people)
      text += fmt::format("{}\n{}", text.size() > 1 ? "," : "", instance_text(poses.poses[person]));
    write_file_atomically(target.out / (stem + ".json"), text + "\n]\n");
  }
}

}  // namespace posefix::dataset::formats
