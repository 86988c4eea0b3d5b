#include "refine/selection.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <utility>

#include "base/error.h"
#include "dataset/picture_locator.h"

namespace posefix::refine {
namespace {

namespace fs = std::filesystem;
using dataset::PoseResult;

std::string place(const dataset::PoseResults& poses, const PoseResult& entry, const char* field) {
  return fmt::format("{}: entry {}: '{}' (/{}/{})", poses.path, entry.index, field, entry.index, field);
}

// Collects the people; pictures get one index each.
class Collector {
 public:
  Collector(const dataset::PoseResults& poses, Selection& selection) : poses_(poses), selection_(selection) {}

  // `find` is asked once per image_id and file_name.
  template <typename Find>
  void add(size_t entry, Find&& find) {
    const PoseResult& pose = poses_.entries[entry];
    check_box(pose);
    const auto key = std::make_pair(pose.image_id, pose.file_name.value_or(""));
    auto at = index_.find(key);
    if (at == index_.end()) {
      selection_.pictures.push_back(find(pose));
      at = index_.emplace(key, selection_.pictures.size() - 1).first;
    }
    selection_.entries.push_back(entry);
    Person& person = selection_.people.emplace_back();
    person.picture = at->second;
    person.keypoints = &pose.keypoints;
    person.box = pose.bbox;
    person.score = pose.score;
    if (pose.raw_score.empty()) person.joint_scores = pose.scores;
  }

 private:
  void check_box(const PoseResult& pose) const {
    if (!pose.bbox || (pose.bbox->w >= 0 && pose.bbox->h >= 0 && pose.bbox->w + pose.bbox->h > 0)) return;
    throw bad_input(
        "{}: width {} and height {}: expected a box with an extent; leave the field out to have the box made "
        "from the joints",
        place(poses_, pose, "bbox"), pose.bbox->w, pose.bbox->h);
  }

  const dataset::PoseResults& poses_;
  Selection& selection_;
  std::map<std::pair<int64_t, std::string>, size_t> index_;
};

bool has_category(const dataset::CocoAnnotations& annotations, int64_t id) {
  return annotations.categories.empty() ||
         std::any_of(annotations.categories.begin(), annotations.categories.end(),
                     [&](const dataset::Category& category) { return category.id == id; });
}

// Whether the annotations have the entry refined; counts it if not.
bool is_listed(const PoseResult& pose, const dataset::CocoAnnotations& annotations, Selection& selection) {
  if (annotations.find_image(pose.image_id) == nullptr) {
    ++selection.unlisted;
  } else if (!has_category(annotations, pose.category_id)) {
    ++selection.other_category;
  } else if (pose.score <= 0) {
    ++selection.no_score;
  } else {
    return true;
  }
  return false;
}

// The number that a picture's name is, if it is one.
std::optional<int64_t> id_of(const fs::path& picture) {
  const std::string stem = picture.stem().string();
  int64_t id = 0;
  const auto [end, error] = std::from_chars(stem.data(), stem.data() + stem.size(), id);
  if (error != std::errc() || end != stem.data() + stem.size()) return std::nullopt;
  return id;
}

}  // namespace

Selection select(const dataset::PoseResults& poses, const fs::path& folder,
                 const dataset::CocoAnnotations* annotations) {
  const dataset::PictureLocator locator(folder, annotations);
  Selection selection;
  Collector collector(poses, selection);
  for (size_t i = 0; i < poses.entries.size(); ++i) {
    if (annotations != nullptr && !is_listed(poses.entries[i], *annotations, selection)) continue;
    collector.add(i, [&](const PoseResult& pose) {
      try {
        return locator.find(pose.image_id, pose.file_name);
      } catch (const Error& error) {
        throw error.within(place(poses, pose, pose.file_name && annotations == nullptr ? "file_name" : "image_id"));
      }
    });
  }
  if (!poses.entries.empty() && selection.unlisted == poses.entries.size()) {
    throw bad_input(
        "{}: 'image_id': not one of the {} entries is of a picture that {} lists: do they belong to another "
        "split?",
        poses.path, poses.entries.size(), annotations->path);
  }
  return selection;
}

Selection select_for_picture(const dataset::PoseResults& poses, const fs::path& picture) {
  const std::optional<int64_t> id = id_of(picture);
  Selection selection;
  Collector collector(poses, selection);
  const auto this_picture = [&](const PoseResult&) { return picture; };
  const std::vector<PoseResult>& entries = poses.entries;
  for (size_t i = 0; i < entries.size(); ++i) {
    const bool fits = entries[i].file_name ? fs::path(*entries[i].file_name).filename() == picture.filename()
                                           : id == entries[i].image_id;
    if (fits) collector.add(i, this_picture);
  }
  if (!selection.entries.empty()) return selection;

  const bool is_one_picture = std::all_of(entries.begin(), entries.end(), [&](const PoseResult& entry) {
    return entry.image_id == entries.front().image_id && entry.file_name == entries.front().file_name;
  });
  if (!is_one_picture) {
    throw bad_input(
        "{}: 'image_id': no entry is of {} by its name, and the entries are of several pictures; give them a "
        "file_name or leave only those of this picture",
        poses.path, picture.string());
  }
  for (size_t i = 0; i < entries.size(); ++i) collector.add(i, this_picture);
  return selection;
}

}  // namespace posefix::refine
