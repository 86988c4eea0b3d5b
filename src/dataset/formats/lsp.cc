#include "dataset/formats/lsp.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>

#include "base/error.h"
#include "dataset/formats/mat_file.h"

namespace posefix::dataset::formats {
namespace {

namespace fs = std::filesystem;

constexpr size_t kJoints = 14;
constexpr size_t kExtendedPeople = 10000;
constexpr size_t kLspTraining = 1000;
constexpr double kMargin = 0.15;
constexpr double kFilled = 0.53;

struct Joints {
  std::vector<double> values;
  size_t people = 0;
  bool coordinate_first = false;  // [3,14,N]
  bool extended = false;

  double at(size_t coordinate, size_t joint, size_t person) const {
    const size_t within = coordinate_first ? coordinate + 3 * joint : joint + kJoints * coordinate;
    return values[within + 3 * kJoints * person];
  }
};

Joints read_joints(const fs::path& path) {
  MatFile mat(path);
  const MatNode node = mat.variable("joints");
  std::vector<size_t> shape = node.shape();
  while (shape.size() < 3) shape.push_back(1);  // MATLAB drops a last dimension of 1
  Joints joints;
  joints.coordinate_first = shape[0] == 3 && shape[1] == kJoints;
  if (shape.size() != 3 || (!joints.coordinate_first && (shape[0] != kJoints || shape[1] != 3))) {
    throw bad_input("{}: expected the shape [3, 14, N] (LSP) or [14, 3, N] (LSP-extended), found [{}]", node.place(),
                    fmt::join(shape, ", "));
  }
  joints.people = shape[2];
  joints.extended = !joints.coordinate_first || joints.people == kExtendedPeople;
  joints.values = node.numbers();
  return joints;
}

pose::Keypoints person_joints(const Joints& joints, size_t person, const std::string& place) {
  pose::Keypoints keypoints(kJoints);
  for (size_t j = 0; j < kJoints; ++j) {
    const double x = joints.at(0, j, person), y = joints.at(1, j, person), flag = joints.at(2, j, person);
    if (flag != 0 && flag != 1) {
      throw bad_input("{}: joints: person {} joint {}: flag {}, expected 0 or 1", place, person + 1, j + 1, flag);
    }
    const double v = joints.extended ? flag * 2 : 2 - flag;
    if (v == 0) continue;
    if (!std::isfinite(x) || !std::isfinite(y)) {
      throw bad_input("{}: joints: person {} joint {}: is no finite number", place, person + 1, j + 1);
    }
    keypoints[j] = {x, y, v};
  }
  return keypoints;
}

pose::Box person_box(const pose::Keypoints& keypoints, const AnnotatedImage& image) {
  const pose::Box extent = extent_of_labelled(keypoints);
  const double margin = kMargin * std::max(extent.w, extent.h);
  double left = extent.x - margin, top = extent.y - margin;
  double right = extent.x + extent.w + margin, bottom = extent.y + extent.h + margin;
  if (image.width > 0) {
    left = std::clamp(left, 0.0, static_cast<double>(image.width));
    right = std::clamp(right, 0.0, static_cast<double>(image.width));
    top = std::clamp(top, 0.0, static_cast<double>(image.height));
    bottom = std::clamp(bottom, 0.0, static_cast<double>(image.height));
  }
  return {left, top, right - left, bottom - top};
}

// 42 of "im00042.jpg", 0 if the name is of another form.
size_t picture_number(const std::string& file_name, size_t* digits = nullptr) {
  const std::string stem = fs::path(file_name).stem().string();
  if (!stem.starts_with("im") || stem.size() < 3 || stem.size() > 10) return 0;
  if (!std::all_of(stem.begin() + 2, stem.end(), [](unsigned char c) { return std::isdigit(c) != 0; })) return 0;
  if (digits != nullptr) *digits = stem.size() - 2;
  return std::stoul(stem.substr(2));
}

struct Picture {
  std::string split;
  fs::path folder;
  std::string name;
};

const char* own_split(size_t number, bool extended) { return extended || number <= kLspTraining ? "train" : "test"; }

// The picture as the archive names it.
Picture assumed_picture(size_t number, bool extended) {
  return {own_split(number, extended), {}, fmt::format("im{:0{}}.jpg", number, extended ? 5 : 4)};
}

// Pictures by number; empty if there are none.
std::map<size_t, Picture> find_pictures(const fs::path& images, const Joints& joints) {
  std::map<size_t, Picture> pictures;
  for (const fs::path& path : files_with_suffix(images, ".jpg", true)) {
    const size_t number = picture_number(path.filename().string());
    if (number == 0 || number > joints.people) continue;
    const fs::path sub = path.parent_path().lexically_relative(images);
    std::string split = sub == "." ? "" : sub.generic_string();
    std::replace(split.begin(), split.end(), '/', '_');
    if (split.empty()) split = own_split(number, joints.extended);
    pictures[number] = {split, path.parent_path(), path.filename().string()};
  }
  return pictures;
}

AnnotationSet& split_named(Conversion& result, const std::string& name) {
  for (Split& split : result.splits) {
    if (split.name == name) return split.set;
  }
  result.splits.push_back({name, {"lsp14", {}, {}, {}}});
  return result.splits.back().set;
}

// LSP's flag is "occluded": it has no way to say that a joint or a person is not labelled.
void expect_all_labelled(const std::map<size_t, const Annotation*>& people) {
  size_t expected = 1;
  for (const auto& [number, person] : people) {
    if (number != expected++ || labelled_joints(person->keypoints) != static_cast<int>(kJoints)) {
      throw bad_input(
          "person {}: not all joints of people 1..{} are labelled, which LSP's joints.mat cannot say; the "
          "extended form can: name the pictures imNNNNN.jpg (five digits)",
          std::min(number, expected - 1), people.rbegin()->first);
    }
  }
}

}  // namespace

Conversion read_lsp(const DatasetSource& source) {
  const fs::path path = source.folder.extension() == ".mat" ? source.folder : source.folder / "joints.mat";
  const Joints joints = read_joints(path);
  const fs::path images = image_folder(source);
  std::map<size_t, Picture> pictures = find_pictures(images, joints);
  const bool has_pictures = !pictures.empty();
  Conversion result;
  size_t unlabelled = 0;
  for (size_t number = 1; number <= joints.people; ++number) {
    if (!has_pictures) pictures[number] = assumed_picture(number, joints.extended);
    const auto picture = pictures.find(number);
    if (picture == pictures.end()) continue;
    Annotation person;
    person.id = static_cast<int64_t>(number);
    person.image_id = person.id;
    person.category_id = 1;
    person.keypoints = person_joints(joints, number - 1, path.string());
    person.num_keypoints = labelled_joints(person.keypoints);
    AnnotatedImage image;
    image.id = person.id;
    image.file_name = picture->second.name;
    measure(image, picture->second.folder, source.picture_size);
    AnnotationSet& set = split_named(result, picture->second.split);
    if (person.num_keypoints > 0) {
      person.bbox = person_box(person.keypoints, image);
      person.area = kFilled * person.bbox.w * person.bbox.h;
      set.add_annotation(std::move(person));
    } else {
      ++unlabelled;
    }
    set.add_image(std::move(image));
  }
  const size_t left_out = joints.people - pictures.size();
  if (left_out > 0) {
    result.notes.push_back(
        fmt::format("{} people were left out: their pictures are not in {}", left_out, images.string()));
  }
  if (unlabelled > 0) {
    result.notes.push_back(
        fmt::format("{} people have no labelled joint; their pictures are listed without them", unlabelled));
  }
  if (!has_pictures) result.notes.push_back("no pictures imNNNN.jpg were found; widths and heights are left out");
  return result;
}

std::vector<std::string> write_lsp(std::span<const Split> splits, const fs::path& out) {
  std::map<size_t, const Annotation*> people;
  size_t digits = 0;
  for (const Split& split : splits) {
    for (size_t i = 0; i < split.set.coco.annotations.size(); ++i) {
      const Annotation& person = split.set.coco.annotations[i];
      const AnnotatedImage* image = split.set.coco.find_image(person.image_id);
      size_t these = 0;
      const size_t number = image == nullptr ? 0 : picture_number(image->file_name, &these);
      if (number == 0 || number > 10 * kExtendedPeople || (digits != 0 && these != digits)) {
        throw bad_input(
            "{}: /annotations/{}: its picture is '{}'; joints.mat needs names imNNNN.jpg or imNNNNN.jpg, all "
            "of one kind",
            split.set.coco.path, i, image == nullptr ? "missing" : image->file_name);
      }
      digits = these;
      if (!people.emplace(number, &person).second) {
        throw bad_input("{}: /annotations/{}: a second person in picture {}; LSP has one person per picture",
                        split.set.coco.path, i, image->file_name);
      }
    }
  }
  if (people.empty()) throw bad_input("no people to write into joints.mat");
  const bool extended = digits >= 5;
  const size_t count = people.rbegin()->first;
  if (!extended) expect_all_labelled(people);
  std::vector<double> values(3 * kJoints * count, 0.0);
  for (const auto& [number, person] : people) {
    for (size_t j = 0; j < kJoints; ++j) {
      const pose::Keypoint& joint = person->keypoints[j];
      const double triple[] = {joint.x, joint.y, extended ? double(joint.score > 0) : double(joint.score < 2)};
      for (size_t c = 0; c < 3; ++c) {
        values[3 * kJoints * (number - 1) + (extended ? j + kJoints * c : c + 3 * j)] = triple[c];
      }
    }
  }
  const size_t shape[] = {extended ? kJoints : 3, extended ? 3 : kJoints, count};
  write_mat_array(out / "joints.mat", "joints", shape, values);
  if (people.size() == count) return {};
  return {fmt::format("joints.mat holds {} people; {} have no annotation and are zeros", count, count - people.size())};
}

}  // namespace posefix::dataset::formats
