#include "refine/selection.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "base/error.h"

namespace posefix::refine {
namespace {

namespace fs = std::filesystem;

// Gives every picture one index.
class PictureIndex {
 public:
  explicit PictureIndex(Selection& selection) : selection_(selection) {}

  void add(size_t entry, const fs::path& picture) {
    const auto [at, is_new] = index_.try_emplace(picture.string(), selection_.pictures.size());
    if (is_new) selection_.pictures.push_back(picture);
    selection_.entries.push_back(entry);
    selection_.picture_of.push_back(at->second);
  }
  bool holds(const fs::path& picture) const { return index_.contains(picture.string()); }

 private:
  Selection& selection_;
  std::map<std::string, size_t> index_;
};

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

std::string hint(const fs::path& folder, const std::string& name) {
  const std::string similar = files_like(folder, name);
  return similar.empty() ? fmt::format("{} holds no files", folder.string())
                         : fmt::format("{} holds: {}", folder.string(), similar);
}

// The picture of an entry without annotations.
fs::path find_picture(const PoseFile& poses, size_t entry, const fs::path& images) {
  const PoseEntry& pose = poses.entries()[entry];
  if (!pose.file_name.empty()) {
    fs::path path = images / pose.file_name;
    if (is_file(path)) return path;
    throw bad_input("{}: 'file_name': there is no picture {}; {}", poses.place(entry), path.string(),
                    hint(path.parent_path(), path.filename().string()));
  }
  const std::string stem = fmt::format("{:012}", pose.image_id);
  for (const char* extension : {".jpg", ".jpeg", ".png"}) {
    fs::path path = images / (stem + extension);
    if (is_file(path)) return path;
  }
  throw bad_input(
      "{}: 'image_id': {} has no picture: looked for {}/{}.jpg, .jpeg and .png; {}. Name the pictures by image_id, give "
      "entries a file_name, or give --annotations",
      poses.place(entry), pose.image_id, images.string(), stem, hint(images, stem + ".jpg"));
}

// Counts the entry if the annotations leave it out; its file name otherwise.
const std::string* listed(const PoseEntry& pose, const AnnotatedPictures& annotations, Selection& selection) {
  const std::string* name = annotations.find(pose.image_id);
  if (name == nullptr) {
    ++selection.unlisted;
  } else if (!annotations.has_category(pose.category_id)) {
    ++selection.other_category;
    name = nullptr;
  } else if (pose.score <= 0) {
    ++selection.no_score;
    name = nullptr;
  }
  return name;
}

}  // namespace

Selection select(const PoseFile& poses, const fs::path& images, const AnnotatedPictures* annotations) {
  std::error_code ignored;
  if (!fs::is_directory(images, ignored)) throw bad_input("{}: is not a folder of pictures", images.string());
  Selection selection;
  PictureIndex pictures(selection);
  for (size_t i = 0; i < poses.entries().size(); ++i) {
    if (annotations == nullptr) {
      pictures.add(i, find_picture(poses, i, images));
      continue;
    }
    const std::string* name = listed(poses.entries()[i], *annotations, selection);
    if (name == nullptr) continue;
    const fs::path path = images / *name;
    if (!pictures.holds(path) && !is_file(path)) {
      throw bad_input("{}: 'image_id': the picture {} that the annotations name for {} is not there; {}",
                      poses.place(i), path.string(), poses.entries()[i].image_id,
                      hint(path.parent_path(), path.filename().string()));
    }
    pictures.add(i, path);
  }
  if (!poses.entries().empty() && selection.unlisted == poses.entries().size()) {
    throw bad_input("{}: 'image_id': not one of the {} entries is of a picture that the annotations list: they seem to "
                    "belong to another split",
                    poses.path().string(), poses.entries().size());
  }
  return selection;
}

Selection select_for_picture(const PoseFile& poses, const fs::path& picture) {
  const std::string stem = picture.stem().string();
  std::optional<int64_t> id;
  int64_t number = 0;
  if (const auto [end, error] = std::from_chars(stem.data(), stem.data() + stem.size(), number);
      error == std::errc() && end == stem.data() + stem.size()) {
    id = number;
  }
  Selection selection;
  PictureIndex pictures(selection);
  const std::vector<PoseEntry>& entries = poses.entries();
  for (size_t i = 0; i < entries.size(); ++i) {
    const bool fits = entries[i].file_name.empty() ? id == entries[i].image_id
                                                   : fs::path(entries[i].file_name).filename() == picture.filename();
    if (fits) pictures.add(i, picture);
  }
  if (!selection.entries.empty()) return selection;

  const bool one_picture = std::all_of(entries.begin(), entries.end(), [&](const PoseEntry& entry) {
    return entry.image_id == entries.front().image_id && entry.file_name == entries.front().file_name;
  });
  if (!one_picture) {
    throw bad_input("{}: 'image_id': no entry is of {} by its name, and the entries are of several pictures; give them a "
                    "file_name or leave only those of this picture",
                    poses.path().string(), picture.string());
  }
  for (size_t i = 0; i < entries.size(); ++i) pictures.add(i, picture);
  return selection;
}

}  // namespace posefix::refine
