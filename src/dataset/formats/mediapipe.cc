#include "dataset/formats/mediapipe.h"

#include <fmt/format.h>

#include <cmath>

#include "base/file.h"
#include "dataset/formats/json_text.h"
#include "dataset/json_cursor.h"

namespace posefix::dataset::formats {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLandmarks = 33;
constexpr double kFarOutside = 10;  // in widths of the picture; landmarks outside it are usual, such ones are pixels
constexpr const char* kNeed = "to turn MediaPipe's normalised coordinates into pixels";

bool names_picture(std::string_view key) {
  return key == "file_name" || key == "image" || key == "image_name" || key == "filename" || key == "file" ||
         key == "path";
}

class JsonReader {
 public:
  JsonReader(JsonCursor& json, std::string name, std::vector<NormalisedPose>& out)
      : json_(json), name_(std::move(name)), out_(out) {}

  void read() {
    if (json_.peek() == '{') {
      read_picture();
    } else {
      json_.array([&](size_t) { read_element(); });
      finish_list();
    }
    json_.finish();
    // Landmarks without a picture's name around them.
    for (NormalisedPose& pose : out_) {
      if (pose.picture.empty()) pose.picture = name_;
    }
  }

 private:
  // An element of the file's list: a picture, a person, or a landmark of the one person.
  void read_element() {
    if (json_.peek() == '[') {
      read_persons();
    } else {
      read_picture();
    }
  }

  // {"file_name", ..., "landmarks"}, {"landmark": [...]} or a landmark {"x", "y", ...}.
  void read_picture() {
    const JsonCursor::Mark start = json_.mark();
    const size_t first = out_.size();
    std::string picture;
    double width = 0, height = 0;
    pose::Keypoint landmark;
    landmark.score = 1;
    int axes = 0;
    bool has_landmarks = false;
    json_.object([&](std::string_view key) {
      if (names_picture(key)) {
        picture = json_.string();
      } else if (key == "width" || key == "height") {
        (key == "width" ? width : height) = json_.number();
      } else if (key == "landmarks" || key == "pose_landmarks" || key == "poseLandmarks" || key == "landmark") {
        has_landmarks = true;
        if (json_.peek() == 'n') {
          json_.skip();  // null: nobody was found
        } else {
          read_persons();
        }
      } else {
        axes += read_axis(key, landmark);
      }
    });
    if (axes == 2 && !has_landmarks) {
      landmarks_.push_back(landmark);
      return;
    }
    if (!has_landmarks)
      throw json_.error(start.offset, "expected landmarks: x and y, or a list of them in 'landmarks'");
    for (size_t i = first; i < out_.size(); ++i) {
      if (out_[i].picture.empty()) out_[i].picture = picture;
      if (out_[i].width == 0) out_[i].width = width, out_[i].height = height;
    }
  }

  // 1 for x and for y.
  int read_axis(std::string_view key, pose::Keypoint& landmark) {
    if (key == "x" || key == "y") return (key == "x" ? landmark.x : landmark.y) = json_.number(), 1;
    if (key == "visibility") return landmark.score = json_.number(), 0;
    json_.skip();
    return 0;
  }

  // LIST, MESSAGE, or a list of either.
  void read_persons() {
    place_ = json_.error(json_.mark().offset, "landmarks").what();
    if (json_.peek() == '{') {
      read_picture();
      return;
    }
    json_.array([&](size_t) { read_element(); });
    finish_list();
  }

  // What was gathered since the list began is one person, if it was a list of landmarks.
  void finish_list() {
    if (landmarks_.empty()) return;
    NormalisedPose pose;
    pose.place = place_.empty() ? name_ : place_;
    if (landmarks_.size() != kLandmarks) {
      throw bad_input("{}: expected {} landmarks, got {}", pose.place, kLandmarks, landmarks_.size());
    }
    pose.landmarks = std::move(landmarks_);
    landmarks_.clear();
    out_.push_back(std::move(pose));
  }

  JsonCursor& json_;
  std::string name_;
  std::string place_;
  std::vector<NormalisedPose>& out_;
  pose::Keypoints landmarks_;
};

std::vector<NormalisedPose> read_json(const fs::path& path) {
  const auto file = MappedFile::open(path);
  JsonCursor json(file->text(), path.string());
  std::vector<NormalisedPose> poses;
  JsonReader(json, path.stem().string(), poses).read();
  return poses;
}

EstimatedPose in_pixels(NormalisedPose&& from, const PictureFolder& pictures) {
  if (!(from.width > 0) || !(from.height > 0)) {
    const PictureSize size = pictures.size(from.picture, kNeed);
    from.width = size.width;
    from.height = size.height;
  }
  EstimatedPose pose;
  pose.picture = std::move(from.picture);
  for (const pose::Keypoint& landmark : from.landmarks) {
    if (std::abs(landmark.x) > kFarOutside || std::abs(landmark.y) > kFarOutside) {
      throw bad_input("{}: x = {}, y = {}: these are pixels; MediaPipe's landmarks are divided by the picture's size",
                      from.place, landmark.x, landmark.y);
    }
    pose.keypoints.push_back({landmark.x * from.width, landmark.y * from.height, landmark.score});
  }
  return pose;
}

}  // namespace

EstimatorPoses read_mediapipe(const PoseSource& source) {
  EstimatorPoses result;
  result.joints = joints_by_count(source.joints, kLandmarks, {"mediapipe33"}, source.in.string());
  std::error_code error;
  const bool csv = fs::is_directory(source.in, error) ? false : source.in.extension() == ".csv";
  for (const fs::path& path : pose_files(source.in, csv ? ".csv" : ".json")) {
    for (NormalisedPose& pose : csv ? read_mediapipe_csv(path) : read_json(path)) {
      result.poses.push_back(in_pixels(std::move(pose), source.pictures));
    }
  }
  return result;
}

void write_mediapipe(const EstimatorPoses& poses, const PoseTarget& target) {
  if (target.out.extension() == ".csv") {
    write_file_atomically(target.out, mediapipe_csv(poses, target));
    return;
  }
  std::string text = "[";
  for (const auto& [picture, people] : by_picture(poses)) {
    const PictureSize size = target.pictures.size(picture, "to normalise coordinates for MediaPipe");
    fmt::format_to(std::back_inserter(text), "{}\n{{\"file_name\":{},\"width\":{},\"height\":{},\"pose_landmarks\":[",
                   text.size() > 1 ? "," : "", json_string(picture), size.width, size.height);
    for (size_t p = 0; p < people.size(); ++p) {
      text += p == 0 ? "[" : ",[";
      const pose::Keypoints& joints = poses.poses[people[p]].keypoints;
      for (size_t j = 0; j < joints.size(); ++j) {
        fmt::format_to(std::back_inserter(text), "{}{{\"x\":{},\"y\":{},\"z\":0,\"visibility\":{}}}", j == 0 ? "" : ",",
                       json_number(joints[j].x / size.width), json_number(joints[j].y / size.height),
                       json_number(joints[j].score));
      }
      text += "]";
    }
    text += "]}";
  }
  write_file_atomically(target.out, text + "\n]\n");
}

}  // namespace posefix::dataset::formats
