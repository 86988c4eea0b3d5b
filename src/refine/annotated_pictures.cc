#include <algorithm>

#include "refine/json_cursor.h"
#include "refine/pose_file.h"

namespace posefix::refine {
namespace {

std::pair<int64_t, std::string> read_picture(JsonCursor& cursor, size_t index) {
  const std::string place = fmt::format("images[{}]", index);
  std::pair<int64_t, std::string> picture;
  bool has_id = false;
  cursor.set_place(place);
  const size_t begin = cursor.offset();
  cursor.object([&](const std::string& key) {
    cursor.set_place(fmt::format("{}: '{}'", place, key));
    if (key == "id") {
      picture.first = cursor.integer();
      has_id = true;
    } else if (key == "file_name") {
      picture.second = cursor.string();
    } else {
      cursor.any();
    }
  });
  cursor.set_place(place);
  if (!has_id) throw cursor.wrong(begin, "the field 'id' is missing");
  if (picture.second.empty()) throw cursor.wrong(begin, "the field 'file_name' is missing");
  return picture;
}

int64_t read_category(JsonCursor& cursor, size_t index) {
  int64_t id = -1;
  cursor.set_place(fmt::format("categories[{}]", index));
  cursor.object([&](const std::string& key) {
    if (key == "id") {
      id = cursor.integer();
    } else {
      cursor.any();
    }
  });
  return id;
}

}  // namespace

AnnotatedPictures AnnotatedPictures::read(const std::filesystem::path& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  JsonCursor cursor(file->text(), path.string());
  AnnotatedPictures pictures;
  bool has_images = false;
  if (cursor.peek() != '{') throw cursor.expected("COCO annotations, {\"images\": [...], ...}");
  cursor.object([&](const std::string& key) {
    if (key == "images") {
      has_images = true;
      cursor.array([&](size_t i) { pictures.file_names.push_back(read_picture(cursor, i)); });
    } else if (key == "categories") {
      cursor.array([&](size_t i) { pictures.categories.push_back(read_category(cursor, i)); });
    } else {
      cursor.any();
    }
    cursor.set_place("");
  });
  cursor.end();
  if (!has_images) throw bad_input("{}: the field 'images' is missing; expected COCO annotations", path.string());
  std::stable_sort(pictures.file_names.begin(), pictures.file_names.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  return pictures;
}

const std::string* AnnotatedPictures::find(int64_t image_id) const {
  const auto at = std::lower_bound(file_names.begin(), file_names.end(), image_id,
                                   [](const auto& picture, int64_t id) { return picture.first < id; });
  return at != file_names.end() && at->first == image_id ? &at->second : nullptr;
}

bool AnnotatedPictures::has_category(int64_t category_id) const {
  return categories.empty() || std::find(categories.begin(), categories.end(), category_id) != categories.end();
}

}  // namespace posefix::refine
