#include "dataset/formats/annotation_set.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "base/interrupt.h"
#include "dataset/formats/json_text.h"
#include "dataset/json_cursor.h"
#include "dataset/skeleton_annotations.h"

namespace posefix::dataset::formats {
namespace {

bool is_image_field(std::string_view key) {
  return key == "id" || key == "file_name" || key == "width" || key == "height" || key == "license";
}

bool is_annotation_field(std::string_view key) {
  for (const char* known : {"id", "image_id", "category_id", "bbox", "area", "iscrowd", "num_keypoints", "keypoints"}) {
    if (key == known) return true;
  }
  return false;
}

// The fields that read_coco_annotations steps over, as text.
void read_extra_fields(const std::filesystem::path& path, AnnotationSet& set) {
  const auto file = MappedFile::open(path);
  JsonCursor json(file->text(), path.string());
  const auto fields_of = [&](auto&& is_known) {
    ExtraFields fields;
    json.object([&](std::string_view key) {
      const std::string name(key);
      const std::string_view value = json.skip();
      if (!is_known(name)) fields.push_back({name, json_compact(value)});
    });
    return fields;
  };
  json.object([&](std::string_view key) {
    if (key == "images") {
      json.array([&](size_t) { set.image_fields.push_back(fields_of(is_image_field)); });
    } else if (key == "annotations") {
      json.array([&](size_t) { set.annotation_fields.push_back(fields_of(is_annotation_field)); });
    } else {
      json.skip();
    }
  });
}

// Source index of every joint of the skeleton.
std::vector<int> complete_order(const std::vector<std::string>& names, const pose::Skeleton& skeleton,
                                const std::string& path) {
  std::vector<int> order = joint_order(names, skeleton);
  const auto absent = std::find(order.begin(), order.end(), -1);
  if (absent != order.end()) {
    throw bad_input("{}: /categories/0/keypoints: joint '{}' of the skeleton {} is missing; the file has: {}", path,
                    skeleton.joints[static_cast<size_t>(absent - order.begin())], skeleton.name,
                    fmt::join(names, ", "));
  }
  return order;
}

void append_fields(fmt::memory_buffer& out, const ExtraFields& fields) {
  for (const ExtraField& field : fields) {
    fmt::format_to(std::back_inserter(out), ",{}:{}", json_string(field.name), field.json);
  }
}

void append_image(fmt::memory_buffer& out, const AnnotatedImage& image, const ExtraFields& fields) {
  fmt::format_to(std::back_inserter(out), "{{\"id\":{},\"file_name\":{}", image.id, json_string(image.file_name));
  if (image.width > 0)
    fmt::format_to(std::back_inserter(out), ",\"width\":{},\"height\":{}", image.width, image.height);
  if (image.license != 0) fmt::format_to(std::back_inserter(out), ",\"license\":{}", image.license);
  append_fields(out, fields);
  out.push_back('}');
}

void append_annotation(fmt::memory_buffer& out, const Annotation& person, const ExtraFields& fields) {
  fmt::format_to(std::back_inserter(out),
                 "{{\"id\":{},\"image_id\":{},\"category_id\":{},\"bbox\":{},\"area\":{},\"iscrowd\":{},"
                 "\"num_keypoints\":{},\"keypoints\":{}",
                 person.id, person.image_id, person.category_id, json_box(person.bbox), json_number(person.area),
                 person.iscrowd ? 1 : 0, person.num_keypoints, json_keypoints(person.keypoints));
  append_fields(out, fields);
  out.push_back('}');
}

std::string category_text(const pose::Skeleton& skeleton) {
  std::string joints;
  for (const std::string& joint : skeleton.joints)
    joints += fmt::format("{}{}", joints.empty() ? "" : ",", json_string(joint));
  std::string limbs;
  for (const auto& [a, b] : skeleton.limbs) limbs += fmt::format("{}[{},{}]", limbs.empty() ? "" : ",", a + 1, b + 1);
  return fmt::format(
      "{{\"id\":1,\"name\":\"person\",\"supercategory\":\"person\",\"keypoints\":[{}],\"skeleton\":[{}]}}", joints,
      limbs);
}

constexpr size_t kChunkBytes = 1 << 20;

void flush(AtomicFile& file, fmt::memory_buffer& out, size_t least) {
  if (out.size() < least) return;
  throw_if_interrupted();
  file.write(std::string_view(out.data(), out.size()));
  out.clear();
}

}  // namespace

void AnnotationSet::add_image(AnnotatedImage image, ExtraFields fields) {
  coco.image_index[image.id] = coco.images.size();
  coco.images.push_back(std::move(image));
  image_fields.push_back(std::move(fields));
}

void AnnotationSet::add_annotation(Annotation annotation, ExtraFields fields) {
  annotation.index = coco.annotations.size();
  coco.joints = static_cast<int>(annotation.keypoints.size());
  coco.annotations.push_back(std::move(annotation));
  annotation_fields.push_back(std::move(fields));
}

const std::string* find_field(const ExtraFields& fields, std::string_view name) {
  for (const ExtraField& field : fields) {
    if (field.name == name) return &field.json;
  }
  return nullptr;
}

int labelled_joints(const pose::Keypoints& keypoints) {
  return static_cast<int>(std::count_if(keypoints.begin(), keypoints.end(), [](const auto& k) { return k.score > 0; }));
}

pose::Box extent_of_labelled(const pose::Keypoints& keypoints) {
  bool any = false;
  double left = 0, top = 0, right = 0, bottom = 0;
  for (const pose::Keypoint& joint : keypoints) {
    if (!(joint.score > 0)) continue;
    left = any ? std::min(left, joint.x) : joint.x;
    right = any ? std::max(right, joint.x) : joint.x;
    top = any ? std::min(top, joint.y) : joint.y;
    bottom = any ? std::max(bottom, joint.y) : joint.y;
    any = true;
  }
  return {left, top, right - left, bottom - top};
}

void write_annotation_set(const std::filesystem::path& path, const AnnotationSet& set) {
  PFX_CHECK(set.image_fields.size() == set.coco.images.size());
  PFX_CHECK(set.annotation_fields.size() == set.coco.annotations.size());
  const pose::Skeleton skeleton = pose::Skeleton::load(set.skeleton);
  AtomicFile file(path);
  fmt::memory_buffer out;
  fmt::format_to(std::back_inserter(out), "{{\"info\":{{\"skeleton\":{}}},\n\"images\":[", json_string(set.skeleton));
  for (size_t i = 0; i < set.coco.images.size(); ++i) {
    fmt::format_to(std::back_inserter(out), "{}\n", i == 0 ? "" : ",");
    append_image(out, set.coco.images[i], set.image_fields[i]);
    flush(file, out, kChunkBytes);
  }
  fmt::format_to(std::back_inserter(out), "\n],\n\"annotations\":[");
  for (size_t i = 0; i < set.coco.annotations.size(); ++i) {
    fmt::format_to(std::back_inserter(out), "{}\n", i == 0 ? "" : ",");
    append_annotation(out, set.coco.annotations[i], set.annotation_fields[i]);
    flush(file, out, kChunkBytes);
  }
  fmt::format_to(std::back_inserter(out), "\n],\n\"categories\":[{}]}}\n", category_text(skeleton));
  flush(file, out, 0);
  file.commit();
}

AnnotationSet read_annotation_set(const std::filesystem::path& path, const std::string& skeleton_name) {
  const pose::Skeleton skeleton = pose::Skeleton::load(skeleton_name);
  AnnotationSet set;
  set.skeleton = skeleton_name;
  set.coco = read_coco_annotations(
      path, {.joints = skeleton.size(), .require_area = false, .findings = {}, .keep_going = false});
  read_extra_fields(path, set);
  if (set.coco.categories.empty() || set.coco.categories.front().keypoints.empty()) return set;
  const std::vector<int> order = complete_order(set.coco.categories.front().keypoints, skeleton, path.string());
  for (Annotation& annotation : set.coco.annotations) {
    pose::Keypoints ordered;
    for (const int joint : order) ordered.push_back(annotation.keypoints[static_cast<size_t>(joint)]);
    annotation.keypoints = std::move(ordered);
  }
  return set;
}

}  // namespace posefix::dataset::formats
