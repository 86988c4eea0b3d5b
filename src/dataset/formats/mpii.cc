#include "dataset/formats/mpii.h"

#include <fmt/format.h>

#include <cctype>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "base/file.h"
#include "dataset/formats/json_text.h"
#include "dataset/formats/mpii_mat.h"
#include "dataset/json_cursor.h"

namespace posefix::dataset::formats {
namespace {

constexpr size_t kJoints = 16;

struct ListedPerson {
  std::string image;
  pose::Keypoints keypoints;
  ExtraFields fields;
};

void read_joints(JsonCursor& json, pose::Keypoints& keypoints) {
  const JsonCursor::Mark start = json.mark();
  std::vector<double> pair;
  size_t count = 0;
  json.array([&](size_t j) {
    const JsonCursor::Mark at = json.mark();
    json.numbers(pair);
    if (pair.size() != 2) throw json.error(at.offset, fmt::format("expected x and y, got {} numbers", pair.size()));
    if (j < kJoints) keypoints[j].x = pair[0], keypoints[j].y = pair[1];
    count = j + 1;
  });
  if (count != kJoints) throw json.error(start.offset, fmt::format("expected 16 joints, got {}", count));
}

void read_visibility(JsonCursor& json, pose::Keypoints& keypoints) {
  const JsonCursor::Mark start = json.mark();
  std::vector<double> flags;
  json.numbers(flags);
  if (flags.size() != kJoints) throw json.error(start.offset, fmt::format("expected 16 flags, got {}", flags.size()));
  for (size_t j = 0; j < kJoints; ++j) keypoints[j].score = flags[j] > 0 ? 1 : 0;
}

ListedPerson read_person(JsonCursor& json) {
  ListedPerson person;
  person.keypoints.resize(kJoints);
  const JsonCursor::Mark start = json.mark();
  bool has_joints = false, has_flags = false;
  json.object([&](std::string_view key) {
    if (key == "image") {
      person.image = json.string();
    } else if (key == "joints") {
      read_joints(json, person.keypoints);
      has_joints = true;
    } else if (key == "joints_vis") {
      read_visibility(json, person.keypoints);
      has_flags = true;
    } else {
      const std::string name(key);
      person.fields.push_back({name, json_compact(json.skip())});
    }
  });
  if (person.image.empty()) throw json.error(start.offset, "field 'image' is missing");
  // Test lists name the person's place alone.
  if (has_joints != has_flags) {
    throw json.error(start.offset, fmt::format("field '{}' is missing", has_joints ? "joints_vis" : "joints"));
  }
  for (pose::Keypoint& joint : person.keypoints) {
    if (joint.score == 0) joint = {};
  }
  return person;
}

std::optional<int64_t> number_of(const std::string& file_name) {
  const std::string stem = std::filesystem::path(file_name).stem().string();
  if (stem.empty() || stem.size() > 18) return std::nullopt;
  for (const char c : stem) {
    if (std::isdigit(static_cast<unsigned char>(c)) == 0) return std::nullopt;
  }
  return std::stoll(stem);
}

// The number in the file name, if every picture has one of its own; else 1, 2, ... in order of appearance.
std::map<std::string, int64_t> image_ids(const std::vector<ListedPerson>& people) {
  std::map<std::string, int64_t> ids;
  std::set<int64_t> taken;
  bool numbers = true;
  for (const ListedPerson& person : people) {
    if (!ids.emplace(person.image, static_cast<int64_t>(ids.size()) + 1).second) continue;
    const std::optional<int64_t> number = number_of(person.image);
    numbers = numbers && number && taken.insert(*number).second;
  }
  if (numbers) {
    for (auto& [name, id] : ids) id = *number_of(name);
  }
  return ids;
}

AnnotationSet read_list(JsonCursor& json, const DatasetSource& source, std::vector<std::string>& notes) {
  std::vector<ListedPerson> people;
  json.array([&](size_t) { people.push_back(read_person(json)); });
  json.finish();
  AnnotationSet set{"mpii16", {}, {}, {}};
  const std::map<std::string, int64_t> ids = image_ids(people);
  const std::filesystem::path folder = image_folder(source);
  const std::string prefix = people.empty() ? "" : picture_prefix(source, people.front().image);
  size_t left_out = 0;
  for (ListedPerson& listed : people) {
    const int64_t id = ids.at(listed.image);
    if (set.coco.find_image(id) == nullptr) {
      AnnotatedImage image;
      image.id = id;
      image.file_name = listed.image;
      measure(image, prefix.empty() && folder.empty() ? source.folder : folder, source.picture_size);
      image.file_name = prefix + listed.image;
      set.add_image(std::move(image));
    }
    Annotation person;
    person.image_id = id;
    person.category_id = 1;
    person.bbox = mpii_box(listed.keypoints);
    if (person.bbox.w <= 0 || person.bbox.h <= 0) {
      ++left_out;
      continue;
    }
    person.id = static_cast<int64_t>(set.coco.annotations.size()) + 1;
    person.area = person.bbox.w * person.bbox.h;
    person.num_keypoints = labelled_joints(listed.keypoints);
    person.keypoints = std::move(listed.keypoints);
    set.add_annotation(std::move(person), std::move(listed.fields));
  }
  if (left_out > 0) notes.push_back(fmt::format("{} people without joints were left out", left_out));
  return set;
}

std::string list_entry(const AnnotatedImage& image, const Annotation& person, const ExtraFields& fields) {
  std::string flags, joints;
  for (const pose::Keypoint& joint : person.keypoints) {
    const bool labelled = joint.score > 0;
    fmt::format_to(std::back_inserter(flags), "{}{}", flags.empty() ? "" : ",", labelled ? 1 : 0);
    fmt::format_to(std::back_inserter(joints), "{}[{},{}]", joints.empty() ? "" : ",",
                   json_number(labelled ? joint.x : -1), json_number(labelled ? joint.y : -1));
  }
  const std::string* center = find_field(fields, "center");
  const std::string* scale = find_field(fields, "scale");
  const std::string middle = fmt::format("[{},{}]", json_number(person.bbox.x + person.bbox.w / 2),
                                         json_number(person.bbox.y + person.bbox.h / 2));
  std::string name = image.file_name;
  if (name.starts_with("images/")) name.erase(0, 7);
  return fmt::format("{{\"joints_vis\":[{}],\"joints\":[{}],\"image\":{},\"scale\":{},\"center\":{}}}", flags, joints,
                     json_string(name), scale != nullptr ? *scale : json_number(person.bbox.h / 200),
                     center != nullptr ? *center : middle);
}

}  // namespace

Conversion read_mpii(const DatasetSource& source) {
  if (source.folder.extension() == ".mat") return read_mpii_mat(source.folder, source);
  const auto mats = files_with_suffix(source.folder, ".mat", true);
  for (const std::filesystem::path& mat : mats) {
    if (mat.filename().string().starts_with("mpii_human_pose")) return read_mpii_mat(mat, source);
  }
  Conversion result;
  for (const std::filesystem::path& path : annotation_files(source.folder)) {
    const auto file = MappedFile::open(path);
    JsonCursor json(file->text(), path.string());
    Split split{path.stem().string(), {}};
    split.set = json.peek() == '[' ? read_list(json, source, result.notes) : read_annotation_set(path, "mpii16");
    result.splits.push_back(std::move(split));
  }
  return result;
}

std::vector<std::string> write_mpii(std::span<const Split> splits, const std::filesystem::path& out) {
  size_t without_size = 0;
  for (const Split& split : splits) {
    std::string text = "[";
    for (size_t i = 0; i < split.set.coco.annotations.size(); ++i) {
      const Annotation& person = split.set.coco.annotations[i];
      const AnnotatedImage* image = split.set.coco.find_image(person.image_id);
      if (image == nullptr) {
        throw bad_input("{}: /annotations/{}: image_id {} is not among the images", split.set.coco.path, i,
                        person.image_id);
      }
      const ExtraFields& fields = split.set.annotation_fields[i];
      without_size += find_field(fields, "scale") == nullptr ? 1 : 0;
      text += fmt::format("{}\n{}", i == 0 ? "" : ",", list_entry(*image, person, fields));
    }
    write_file_atomically(out / (split.name + ".json"), text + "\n]\n");
  }
  if (without_size == 0) return {};
  return {fmt::format("{} people had no scale of MPII's; it was made from the box's height", without_size)};
}

}  // namespace posefix::dataset::formats
