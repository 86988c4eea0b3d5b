#include <fmt/format.h>

#include <array>
#include <cctype>
#include <charconv>
#include <map>
#include <tuple>

#include "base/error.h"
#include "dataset/formats/csv.h"
#include "dataset/formats/mediapipe.h"

namespace posefix::dataset::formats {
namespace {

constexpr size_t kLandmarks = 33;
constexpr size_t kNone = static_cast<size_t>(-1);

enum Axis : size_t { kX, kY, kVisibility, kAxes };

struct Header {
  size_t picture = kNone, person = kNone, width = kNone, height = kNone;
  size_t landmark = kNone;                                        // long form
  std::array<size_t, kAxes> axes{kNone, kNone, kNone};            // long form
  std::array<std::array<size_t, kAxes>, kLandmarks> landmarks{};  // wide form
};

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

size_t axis_of(std::string_view name) {
  if (name == "x") return kX;
  if (name == "y") return kY;
  if (name == "visibility" || name == "v" || name == "vis") return kVisibility;
  return kAxes;
}

std::optional<size_t> whole_number(std::string_view text) {
  size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

// Splits "left_knee_x" into the landmark and the axis, "x12" into number and axis; nullopt if the name is neither.
std::optional<std::pair<size_t, size_t>> wide_column(const std::string& name, const JointSet& set, size_t first) {
  const size_t cut = name.find_last_of("_. ");
  if (cut != std::string::npos && axis_of(name.substr(cut + 1)) != kAxes) {
    const int joint = set.find(joint_name(name.substr(0, cut)));
    if (joint >= 0) return std::pair{static_cast<size_t>(joint), axis_of(name.substr(cut + 1))};
  }
  const size_t digits = name.find_first_of("0123456789");
  if (digits == std::string::npos) return std::nullopt;
  std::string axis = name.substr(0, digits);
  while (!axis.empty() && axis.back() == '_') axis.pop_back();
  const std::optional<size_t> number = whole_number(std::string_view(name).substr(digits));
  if (!number || axis_of(axis) == kAxes || *number < first || *number - first >= kLandmarks) return std::nullopt;
  return std::pair{*number - first, axis_of(axis)};
}

Header read_header(const CsvTable& table) {
  if (table.rows.empty()) throw bad_input("{}: is empty; expected a header", table.path);
  Header header;
  for (auto& axes : header.landmarks) axes.fill(kNone);
  const JointSet set = joint_set("mediapipe33");
  std::map<std::string, size_t> columns;
  for (size_t c = 0; c < table.rows[0].size(); ++c) columns.emplace(lower(table.rows[0][c]), c);
  const size_t first = columns.contains("x0") || columns.contains("x_0") ? 0 : 1;
  for (const auto& [name, c] : columns) {
    if (name == "file_name" || name == "image" || name == "image_name" || name == "filename" || name == "file" ||
        name == "path") {
      header.picture = c;
    } else if (name == "person" || name == "person_id" || name == "pose") {
      header.person = c;
    } else if (name == "width") {
      header.width = c;
    } else if (name == "height") {
      header.height = c;
    } else if (name == "landmark" || name == "landmark_id" || name == "landmark_name") {
      header.landmark = c;
    } else if (axis_of(name) != kAxes) {
      header.axes[axis_of(name)] = c;
    } else if (const auto wide = wide_column(name, set, first)) {
      header.landmarks[wide->first][wide->second] = c;
    }
  }
  return header;
}

class CsvReader {
 public:
  explicit CsvReader(const std::filesystem::path& path)
      : table_(read_csv(path)),
        header_(read_header(table_)),
        picture_(path.stem().string()),
        set_(joint_set("mediapipe33")) {}

  std::vector<NormalisedPose> read() {
    const bool is_long = header_.landmark != kNone;
    check_columns(is_long);
    for (size_t row = 1; row < table_.rows.size(); ++row) {
      if (is_long) {
        read_long(row);
      } else {
        read_wide(row);
      }
    }
    if (is_long) check_complete();
    return std::move(poses_);
  }

 private:
  void check_columns(bool is_long) const {
    if (is_long && header_.axes[kX] != kNone && header_.axes[kY] != kNone) return;
    for (size_t j = 0; j < kLandmarks; ++j) {
      if (is_long || header_.landmarks[j][kX] == kNone || header_.landmarks[j][kY] == kNone) {
        throw bad_input(
            "{}: no columns for x and y{}; expected {}_x, {}_y, ... or x0, y0, ... for all 33 landmarks, or "
            "landmark, x, y",
            table_.place(0), is_long ? "" : " of " + set_.joints[j], set_.joints[j], set_.joints[j]);
      }
    }
  }

  std::string text(size_t row, size_t column) const {
    return column < table_.rows[row].size() ? table_.rows[row][column] : "";
  }

  NormalisedPose start(size_t row) const {
    NormalisedPose pose;
    pose.picture = header_.picture == kNone ? picture_ : text(row, header_.picture);
    if (pose.picture.empty()) throw bad_input("{}: the picture's name is empty", table_.place(row, header_.picture));
    if (header_.width != kNone) pose.width = table_.number(row, header_.width).value_or(0);
    if (header_.height != kNone) pose.height = table_.number(row, header_.height).value_or(0);
    pose.landmarks.resize(kLandmarks);
    pose.place = table_.place(row);
    return pose;
  }

  // A landmark without coordinates was not found.
  pose::Keypoint landmark(size_t row, const std::array<size_t, kAxes>& axes) const {
    const std::optional<double> x = table_.number(row, axes[kX]);
    const std::optional<double> y = table_.number(row, axes[kY]);
    if (!x || !y) return {};
    const std::optional<double> seen = axes[kVisibility] == kNone ? 1.0 : table_.number(row, axes[kVisibility]);
    return {*x, *y, seen.value_or(0)};
  }

  void read_wide(size_t row) {
    NormalisedPose pose = start(row);
    for (size_t j = 0; j < kLandmarks; ++j) pose.landmarks[j] = landmark(row, header_.landmarks[j]);
    poses_.push_back(std::move(pose));
  }

  void read_long(size_t row) {
    const std::string name = text(row, header_.landmark);
    const std::optional<size_t> number = whole_number(name);
    const int joint = number ? static_cast<int>(std::min(*number, kLandmarks)) : set_.find(joint_name(name));
    if (joint < 0 || joint >= static_cast<int>(kLandmarks)) {
      throw bad_input("{}: '{}' is no landmark; expected 0..32 or a name such as left_knee",
                      table_.place(row, header_.landmark), name);
    }
    NormalisedPose pose = start(row);
    const auto key = std::pair{pose.picture, header_.person == kNone ? std::string() : text(row, header_.person)};
    const auto [position, is_new] = positions_.emplace(key, poses_.size());
    if (is_new) {
      poses_.push_back(std::move(pose));
      seen_.push_back(0);
    }
    poses_[position->second].landmarks[static_cast<size_t>(joint)] = landmark(row, header_.axes);
    const uint64_t bit = uint64_t{1} << joint;
    if ((seen_[position->second] & bit) != 0) {
      throw bad_input("{}: landmark {} of this person comes a second time", table_.place(row), name);
    }
    seen_[position->second] |= bit;
  }

  void check_complete() const {
    for (size_t i = 0; i < poses_.size(); ++i) {
      if (seen_[i] == (uint64_t{1} << kLandmarks) - 1) continue;
      throw bad_input("{}: the person that begins there has {} of 33 landmarks", poses_[i].place,
                      __builtin_popcountll(seen_[i]));
    }
  }

  CsvTable table_;
  Header header_;
  std::string picture_;
  JointSet set_;
  std::vector<NormalisedPose> poses_;
  std::vector<uint64_t> seen_;  // bit j: landmark j was given
  std::map<std::pair<std::string, std::string>, size_t> positions_;
};

}  // namespace

std::vector<NormalisedPose> read_mediapipe_csv(const std::filesystem::path& path) { return CsvReader(path).read(); }

std::string mediapipe_csv(const EstimatorPoses& poses, const PoseTarget& target) {
  std::string text = "file_name,person,width,height";
  for (const std::string& joint : poses.joints.joints) text += fmt::format(",{0}_x,{0}_y,{0}_z,{0}_visibility", joint);
  text += '\n';
  for (const auto& [picture, people] : by_picture(poses)) {
    const PictureSize size = target.pictures.size(picture, "to normalise coordinates for MediaPipe");
    for (size_t p = 0; p < people.size(); ++p) {
      text += fmt::format("{},{},{},{}", csv_field(picture), p, size.width, size.height);
      for (const pose::Keypoint& joint : poses.poses[people[p]].keypoints) {
        text += fmt::format(",{},{},0,{}", joint.x / size.width, joint.y / size.height, joint.score);
      }
      text += '\n';
    }
  }
  return text;
}

}  // namespace posefix::dataset::formats
