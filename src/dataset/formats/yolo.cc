#include "dataset/formats/yolo.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/file.h"
#include "dataset/formats/json_text.h"
#include "dataset/formats/result_list.h"

namespace posefix::dataset::formats {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBoxFields = 5;
constexpr double kVisible = 2;  // a label's v
constexpr const char* kNeed = "to turn YOLO's normalised coordinates into pixels";

// Splits at blanks. Error (bad input) names the field.
std::vector<double> numbers_of(std::string_view line, const std::string& place) {
  std::vector<double> numbers;
  for (size_t at = 0; at < line.size();) {
    if (line[at] == ' ' || line[at] == '\t' || line[at] == '\r') {
      ++at;
      continue;
    }
    double value = 0;
    const auto [end, error] = std::from_chars(line.data() + at, line.data() + line.size(), value);
    const auto used = static_cast<size_t>(end - line.data());
    const bool ends = used == line.size() || line[used] == ' ' || line[used] == '\t' || line[used] == '\r';
    if (error != std::errc() || !ends || !std::isfinite(value)) {
      throw bad_input("{}: field {}: expected a finite number, got '{}'", place, numbers.size() + 1,
                      line.substr(at, line.find_first_of(" \t\r", at) - at));
    }
    numbers.push_back(value);
    at = used;
  }
  return numbers;
}

struct Layout {
  size_t per_joint;  // 2 or 3
  bool has_confidence;
};

Layout layout_of(size_t fields, size_t joints, const std::string& place) {
  for (const size_t per_joint : {size_t{3}, size_t{2}}) {
    const size_t fixed = kBoxFields + per_joint * joints;
    if (fields >= fixed && fields <= fixed + 2) return {per_joint, fields > fixed};
  }
  throw bad_input(
      "{}: {} fields; a line with {} joints has {} or {} and up to two more (confidence, track); if the model "
      "has other joints, say --joints",
      place, fields, joints, kBoxFields + 2 * joints, kBoxFields + 3 * joints);
}

class Reader {
 public:
  explicit Reader(const PoseSource& source) : source_(source) {
    result_.joints = joint_set(source.joints.empty() ? "coco17" : source.joints);
  }

  EstimatorPoses read() {
    std::error_code error;
    const bool folder = fs::is_directory(source_.in, error);
    const bool json = folder ? pose_files_or_none(".txt").empty() : source_.in.extension() == ".json";
    for (const fs::path& path : pose_files(source_.in, json ? ".json" : ".txt")) {
      if (json) {
        read_json(path);
      } else {
        read_text(path);
      }
    }
    return std::move(result_);
  }

 private:
  std::vector<fs::path> pose_files_or_none(std::string_view suffix) const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(source_.in)) {
      if (entry.path().filename().string().ends_with(suffix)) files.push_back(entry.path());
    }
    return files;
  }

  void read_text(const fs::path& path) {
    const std::string text = read_file(path);
    const std::string picture = path.stem().string();
    std::optional<PictureSize> size;
    size_t number = 0;
    for (size_t at = 0; at < text.size(); ++number) {
      const size_t end = std::min(text.find('\n', at), text.size());
      const std::string place = fmt::format("{}: line {}", path.string(), number + 1);
      const std::vector<double> numbers = numbers_of(std::string_view(text).substr(at, end - at), place);
      at = end + 1;
      if (numbers.empty()) continue;
      if (!size) size = source_.pictures.size(picture, kNeed);
      result_.poses.push_back(read_line(numbers, *size, place));
      result_.poses.back().picture = picture;
    }
  }

  EstimatedPose read_line(const std::vector<double>& numbers, const PictureSize& size, const std::string& place) const {
    const size_t joints = result_.joints.joints.size();
    const Layout layout = layout_of(numbers.size(), static_cast<size_t>(result_.joints.slots), place);
    EstimatedPose pose;
    const double w = numbers[3] * size.width, h = numbers[4] * size.height;
    pose.box = pose::Box{numbers[1] * size.width - w / 2, numbers[2] * size.height - h / 2, w, h};
    for (size_t j = 0; j < joints; ++j) {
      const double* joint = &numbers[kBoxFields + layout.per_joint * j];
      const double score = layout.per_joint == 3            ? (joint[2] == kVisible ? 1.0 : joint[2])
                           : joint[0] != 0 || joint[1] != 0 ? 1.0
                                                            : 0.0;
      if (score > 0) {
        pose.keypoints.push_back({joint[0] * size.width, joint[1] * size.height, score});
      } else {
        pose.keypoints.emplace_back();
      }
    }
    if (layout.has_confidence) {
      pose.score = numbers[kBoxFields + layout.per_joint * static_cast<size_t>(result_.joints.slots)];
    }
    return pose;
  }

  void read_json(const fs::path& path) {
    const auto file = MappedFile::open(path);
    JsonCursor json(file->text(), path.string());
    const JsonCursor::Mark start = json.mark();
    if (is_result_list(json)) {
      json.go_to(start);
      JointSet settled = std::move(result_.joints);
      result_.joints = result_.poses.empty() ? JointSet() : settled;
      read_result_list(json, settled.name, {settled.name}, result_);
      result_.joints = std::move(settled);
    } else {
      json.go_to(start);
      json.array([&](size_t) { read_summary(json, path.stem().string()); });
    }
    json.finish();
  }

  static bool is_result_list(JsonCursor& json) {
    bool has_id = false;
    json.array([&](size_t) {
      json.object([&](std::string_view key) {
        has_id = has_id || key == "image_id";
        json.skip();
      });
    });
    return has_id;
  }

  void read_summary(JsonCursor& json, const std::string& picture) {
    const JsonCursor::Mark start = json.mark();
    EstimatedPose pose;
    pose.picture = picture;
    std::vector<double> x, y, visible;
    double corners[4] = {0, 0, 0, 0};
    json.object([&](std::string_view key) {
      if (key == "confidence") {
        pose.score = json.number();
      } else if (key == "box") {
        json.object([&](std::string_view corner) { read_corner(json, corner, corners); });
        pose.box = pose::Box{corners[0], corners[1], corners[2] - corners[0], corners[3] - corners[1]};
      } else if (key == "keypoints") {
        json.object([&](std::string_view axis) { json.numbers(axis == "x" ? x : axis == "y" ? y : visible); });
      } else {
        json.skip();
      }
    });
    const auto slots = static_cast<size_t>(result_.joints.slots);
    if (x.size() != slots || y.size() != slots || (!visible.empty() && visible.size() != slots)) {
      throw json.error(start.offset, fmt::format("expected {} joints in keypoints/x and y, got {} and {}", slots,
                                                 x.size(), y.size()));
    }
    for (size_t j = 0; j < result_.joints.joints.size(); ++j) {
      const double score = visible.empty() ? double(x[j] != 0 || y[j] != 0) : visible[j];
      pose.keypoints.push_back({x[j], y[j], score});
    }
    result_.poses.push_back(std::move(pose));
  }

  static void read_corner(JsonCursor& json, std::string_view name, double* corners) {
    for (int c = 0; c < 4; ++c) {
      if (name == std::string_view("x1y1x2y2").substr(2 * static_cast<size_t>(c), 2)) {
        corners[c] = json.number();
        return;
      }
    }
    json.skip();
  }

  const PoseSource& source_;
  EstimatorPoses result_;
};

}  // namespace

EstimatorPoses read_yolo(const PoseSource& source) { return Reader(source).read(); }

void write_yolo(const EstimatorPoses& poses, const PoseTarget& target) {
  for (const auto& [stem, people] : by_picture_stem(poses)) {
    const PictureSize size = target.pictures.size(poses.poses[people[0]].picture, "to normalise coordinates for YOLO");
    std::string text;
    for (const size_t person : people) {
      const EstimatedPose& pose = poses.poses[person];
      const pose::Box box = box_or_extent(pose);
      fmt::format_to(std::back_inserter(text), "0 {} {} {} {}", (box.x + box.w / 2) / size.width,
                     (box.y + box.h / 2) / size.height, box.w / size.width, box.h / size.height);
      for (const pose::Keypoint& joint : pose.keypoints) {
        fmt::format_to(std::back_inserter(text), " {} {} {}", joint.x / size.width, joint.y / size.height, joint.score);
      }
      fmt::format_to(std::back_inserter(text), " {}\n", pose.score.value_or(0));
    }
    write_file_atomically(target.out / (stem + ".txt"), text);
  }
}

}  // namespace posefix::dataset::formats
