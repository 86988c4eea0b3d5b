#include "dataset/formats/deeplabcut.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/file.h"
#include "dataset/formats/csv.h"

namespace posefix::dataset::formats {
namespace {

namespace fs = std::filesystem;

constexpr size_t kNone = static_cast<size_t>(-1);

struct Joint {
  size_t x = kNone, y = kNone, likelihood = kNone;  // columns
};

struct Table {
  CsvTable csv;
  size_t index_columns = 1;
  size_t first_row = 0;  // of the data
  std::vector<std::string> individuals;
  std::vector<std::string> joints;         // project names
  std::vector<std::vector<Joint>> people;  // [individuals][joints]
};

size_t header_row(const CsvTable& csv, const char* name) {
  for (size_t row = 0; row < std::min<size_t>(4, csv.rows.size()); ++row) {
    if (csv.rows[row][0] == name) return row;
  }
  return kNone;
}

template <typename T>
size_t position(std::vector<T>& list, const T& value) {
  const auto found = std::find(list.begin(), list.end(), value);
  if (found != list.end()) return static_cast<size_t>(found - list.begin());
  list.push_back(value);
  return list.size() - 1;
}

Table read_table(const fs::path& path) {
  Table table;
  table.csv = read_csv(path);
  const size_t parts = header_row(table.csv, "bodyparts"), coords = header_row(table.csv, "coords");
  const size_t individuals = header_row(table.csv, "individuals");
  if (header_row(table.csv, "scorer") != 0 || parts == kNone || coords == kNone) {
    throw bad_input(
        "{}: line 1: expected DeepLabCut's header rows scorer, (individuals,) bodyparts, coords; tables in .h5 "
        "are also written as .csv by DeepLabCut (save_as_csv)",
        path.string());
  }
  const std::vector<std::string>& axes = table.csv.rows[coords];
  while (table.index_columns < axes.size() && axes[table.index_columns].empty()) ++table.index_columns;
  table.first_row = coords + 1;
  for (size_t c = table.index_columns; c < axes.size(); ++c) {
    if (c >= table.csv.rows[parts].size()) throw bad_input("{}: no body part", table.csv.place(parts, c));
    const std::string individual =
        individuals == kNone ? "" : table.csv.rows[individuals].at(std::min(c, table.csv.rows[individuals].size() - 1));
    const size_t person = position(table.individuals, individual);
    const size_t joint = position(table.joints, joint_name(table.csv.rows[parts][c]));
    table.people.resize(table.individuals.size());
    for (auto& joints : table.people) joints.resize(table.joints.size());
    Joint& columns = table.people[person][joint];
    size_t* const column = axes[c] == "x"            ? &columns.x
                           : axes[c] == "y"          ? &columns.y
                           : axes[c] == "likelihood" ? &columns.likelihood
                                                     : nullptr;
    if (column == nullptr)
      throw bad_input("{}: expected x, y or likelihood, got '{}'", table.csv.place(coords, c), axes[c]);
    if (*column != kNone) {
      throw bad_input("{}: '{}' has a second column {} (spelt otherwise, it is the same joint {})",
                      table.csv.place(coords, c), table.csv.rows[parts][c], axes[c], table.joints[joint]);
    }
    *column = c;
  }
  return table;
}

pose::Keypoint read_joint(const CsvTable& csv, size_t row, const Joint& columns) {
  if (columns.x == kNone || columns.y == kNone) return {};
  const std::optional<double> x = csv.number(row, columns.x), y = csv.number(row, columns.y);
  if (!x || !y) return {};
  return {*x, *y, columns.likelihood == kNone ? 1.0 : csv.number(row, columns.likelihood).value_or(0)};
}

// The frame's number or the picture's path.
void name_picture(const Table& table, size_t row, const PictureFolder& pictures, EstimatedPose& pose) {
  std::string path = table.csv.rows[row][0];
  for (size_t c = 1; c < std::min(table.index_columns, table.csv.rows[row].size()); ++c) {
    if (!table.csv.rows[row][c].empty()) path += "/" + table.csv.rows[row][c];
  }
  int64_t number = 0;
  const auto [end, error] = std::from_chars(path.data(), path.data() + path.size(), number);
  if (error != std::errc() || end != path.data() + path.size()) {
    pose.picture = path;
    return;
  }
  pose.image_id = number;
  if (const std::optional<std::string> picture = pictures.find_number(number)) pose.picture = *picture;
}

}  // namespace

EstimatorPoses read_deeplabcut(const PoseSource& source) {
  EstimatorPoses result;
  for (const fs::path& path : pose_files(source.in, ".csv")) {
    const Table table = read_table(path);
    if (result.joints.joints.empty()) {
      result.joints = {"bodyparts", table.joints, {}, static_cast<int>(table.joints.size())};
    }
    if (result.joints.joints != table.joints) {
      throw bad_input("{}: body parts differ from those of the files before; convert them one by one", path.string());
    }
    for (size_t row = table.first_row; row < table.csv.rows.size(); ++row) {
      for (size_t person = 0; person < table.people.size(); ++person) {
        EstimatedPose pose;
        for (const Joint& joint : table.people[person]) pose.keypoints.push_back(read_joint(table.csv, row, joint));
        if (std::none_of(pose.keypoints.begin(), pose.keypoints.end(), [](const auto& k) { return k.score > 0; }))
          continue;
        name_picture(table, row, source.pictures, pose);
        result.poses.push_back(std::move(pose));
      }
    }
  }
  return result;
}

void write_deeplabcut(const EstimatorPoses& poses, const PoseTarget& target) {
  const auto pictures = by_picture(poses);
  size_t most = 1;
  for (const auto& [picture, people] : pictures) most = std::max(most, people.size());
  std::string scorer = "scorer", individuals = "individuals", parts = "bodyparts", coords = "coords";
  for (size_t person = 0; person < most; ++person) {
    for (const std::string& joint : poses.joints.joints) {
      for (const char* axis : {"x", "y", "likelihood"}) {
        scorer += ",posefix";
        individuals += fmt::format(",person{}", person + 1);
        parts += "," + joint;
        coords += fmt::format(",{}", axis);
      }
    }
  }
  std::string text = scorer + "\n" + (most > 1 ? individuals + "\n" : "") + parts + "\n" + coords + "\n";
  for (const auto& [picture, people] : pictures) {
    text += csv_field(picture);
    for (size_t person = 0; person < most; ++person) {
      for (size_t j = 0; j < poses.joints.joints.size(); ++j) {
        const pose::Keypoint joint =
            person < people.size() ? poses.poses[people[person]].keypoints[j] : pose::Keypoint{};
        text += joint.score > 0 ? fmt::format(",{},{},{}", joint.x, joint.y, joint.score) : ",,,";
      }
    }
    text += '\n';
  }
  write_file_atomically(target.out, text);
}

}  // namespace posefix::dataset::formats
