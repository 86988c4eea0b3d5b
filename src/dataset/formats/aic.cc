#include "dataset/formats/aic.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "dataset/formats/json_text.h"
#include "dataset/json_cursor.h"

namespace posefix::dataset::formats {
namespace {

namespace fs = std::filesystem;

constexpr size_t kJoints = 14;

struct Human {
  std::string name;
  std::vector<double> box;        // [4] or empty
  std::vector<double> keypoints;  // [3K] or empty
};

struct Entry {
  std::string image;
  std::vector<Human> people;  // in the order in which the file names them
  ExtraFields fields;
};

Human& human_named(Entry& entry, std::string_view name) {
  for (Human& human : entry.people) {
    if (human.name == name) return human;
  }
  entry.people.push_back({std::string(name), {}, {}});
  return entry.people.back();
}

void read_numbers(JsonCursor& json, size_t count, const char* what, std::vector<double>& out) {
  const JsonCursor::Mark start = json.mark();
  json.numbers(out);
  if (out.size() != count) {
    throw json.error(start.offset, fmt::format("expected {} numbers ({}), got {}", count, what, out.size()));
  }
}

void read_joints(JsonCursor& json, Human& human) {
  const JsonCursor::Mark start = json.mark();
  read_numbers(json, 3 * kJoints, "x, y, v for each of 14 joints", human.keypoints);
  for (size_t j = 0; j < kJoints; ++j) {
    const double v = human.keypoints[3 * j + 2];
    if (v != 1 && v != 2 && v != 3) {
      throw json.error(start.offset, fmt::format("joint {}: visibility {}, expected 1 (visible), 2 (hidden) or 3 (not "
                                                 "labelled)",
                                                 j + 1, v));
    }
  }
}

Entry read_entry(JsonCursor& json) {
  Entry entry;
  const JsonCursor::Mark start = json.mark();
  bool has_joints = false;
  json.object([&](std::string_view key) {
    if (key == "image_id") {
      entry.image = json.string();
    } else if (key == "human_annotations") {
      json.object(
          [&](std::string_view name) { read_numbers(json, 4, "x1, y1, x2, y2", human_named(entry, name).box); });
    } else if (key == "keypoint_annotations") {
      has_joints = true;
      json.object([&](std::string_view name) { read_joints(json, human_named(entry, name)); });
    } else {
      const std::string name(key);
      entry.fields.push_back({name, json_compact(json.skip())});
    }
  });
  if (entry.image.empty()) throw json.error(start.offset, "field 'image_id' is missing");
  if (!has_joints) throw json.error(start.offset, "field 'keypoint_annotations' is missing");
  return entry;
}

Annotation annotation_of(const Human& human) {
  Annotation person;
  person.category_id = 1;
  person.keypoints.resize(kJoints);
  for (size_t j = 0; j < human.keypoints.size() / 3; ++j) {
    const double v = 3 - human.keypoints[3 * j + 2];
    if (v > 0) person.keypoints[j] = {human.keypoints[3 * j], human.keypoints[3 * j + 1], v};
  }
  person.num_keypoints = labelled_joints(person.keypoints);
  const std::vector<double>& b = human.box;
  person.bbox = b.empty() ? extent_of_labelled(person.keypoints) : pose::Box{b[0], b[1], b[2] - b[0], b[3] - b[1]};
  person.area = person.bbox.w * person.bbox.h;
  return person;
}

std::string split_name(const fs::path& path, const std::vector<fs::path>& all) {
  const auto short_name = [](const fs::path& file) {
    std::string stem = file.stem().string();
    if (stem.find("train") != std::string::npos) return std::string("train");
    if (stem.find("val") != std::string::npos) return std::string("val");
    return stem;
  };
  const std::string name = short_name(path);
  const auto same =
      std::count_if(all.begin(), all.end(), [&](const fs::path& file) { return short_name(file) == name; });
  return same == 1 ? name : path.stem().string();
}

// The folder of the pictures: as given, images/, or the one that AI Challenger's archives have.
fs::path pictures_of(const DatasetSource& source, const fs::path& annotations) {
  if (fs::path folder = image_folder(source); !folder.empty()) return folder;
  std::string stem = annotations.stem().string();
  const size_t at = stem.find("_annotations");
  if (at == std::string::npos) return {};
  stem = stem.substr(0, at) + "_images";
  std::error_code error;
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(annotations.parent_path(), error)) {
    if (entry.is_directory() && entry.path().filename().string().starts_with(stem)) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found.empty() ? fs::path() : found.front();
}

// The name that read_aic kept, as JSON text, or humanN.
std::string human_name(const ExtraFields& fields, size_t number) {
  const std::string* name = find_field(fields, "human");
  return name != nullptr && name->starts_with('"') ? *name : json_string(fmt::format("human{}", number));
}

std::string aic_joints(const pose::Keypoints& keypoints) {
  pose::Keypoints theirs = keypoints;
  for (pose::Keypoint& joint : theirs) joint.score = 3 - std::clamp(joint.score, 0.0, 2.0);
  return json_keypoints(theirs);
}

std::string entry_text(const AnnotatedImage& image, const ExtraFields& fields, const AnnotationSet& set,
                       const std::vector<size_t>& people) {
  std::string boxes, joints;
  for (size_t p = 0; p < people.size(); ++p) {
    const Annotation& person = set.coco.annotations[people[p]];
    const std::string name = human_name(set.annotation_fields[people[p]], p + 1);
    const pose::Box& b = person.bbox;
    fmt::format_to(std::back_inserter(boxes), "{}{}:[{},{},{},{}]", p == 0 ? "" : ",", name, json_number(b.x),
                   json_number(b.y), json_number(b.x + b.w), json_number(b.y + b.h));
    fmt::format_to(std::back_inserter(joints), "{}{}:{}", p == 0 ? "" : ",", name, aic_joints(person.keypoints));
  }
  std::string rest;
  for (const ExtraField& field : fields) rest += fmt::format(",{}:{}", json_string(field.name), field.json);
  return fmt::format("{{\"image_id\":{},\"human_annotations\":{{{}}},\"keypoint_annotations\":{{{}}}{}}}",
                     json_string(fs::path(image.file_name).stem().string()), boxes, joints, rest);
}

}  // namespace

Conversion read_aic(const DatasetSource& source) {
  Conversion result;
  const std::vector<fs::path> files = annotation_files(source.folder);
  size_t missing = 0;
  for (const fs::path& path : files) {
    const auto file = MappedFile::open(path);
    JsonCursor json(file->text(), path.string());
    AnnotationSet set{"aic14", {}, {}, {}};
    const fs::path folder = pictures_of(source, path);
    json.array([&](size_t index) {
      Entry entry = read_entry(json);
      AnnotatedImage image;
      image.id = static_cast<int64_t>(index) + 1;
      image.file_name = entry.image + ".jpg";
      if (!measure(image, folder, source.picture_size)) ++missing;
      for (const Human& human : entry.people) {
        Annotation person = annotation_of(human);
        person.id = static_cast<int64_t>(set.coco.annotations.size()) + 1;
        person.image_id = image.id;
        set.add_annotation(std::move(person), {{"human", json_string(human.name)}});
      }
      set.add_image(std::move(image), std::move(entry.fields));
    });
    json.finish();
    result.splits.push_back({split_name(path, files), std::move(set)});
  }
  if (missing > 0)
    result.notes.push_back(fmt::format("{} pictures were not found; their width and height are left out", missing));
  return result;
}

std::vector<std::string> write_aic(std::span<const Split> splits, const fs::path& out) {
  for (const Split& split : splits) {
    const CocoAnnotations& coco = split.set.coco;
    std::vector<std::vector<size_t>> people(coco.images.size());
    for (size_t i = 0; i < coco.annotations.size(); ++i) {
      const auto image = coco.image_index.find(coco.annotations[i].image_id);
      if (image == coco.image_index.end()) {
        throw bad_input("{}: /annotations/{}/image_id: {} is not among the images", coco.path, i,
                        coco.annotations[i].image_id);
      }
      people[image->second].push_back(i);
    }
    std::string text = "[";
    for (size_t i = 0; i < coco.images.size(); ++i) {
      text += fmt::format("{}\n{}", i == 0 ? "" : ",",
                          entry_text(coco.images[i], split.set.image_fields[i], split.set, people[i]));
    }
    write_file_atomically(out / (split.name + ".json"), text + "\n]\n");
  }
  return {};
}

}  // namespace posefix::dataset::formats
