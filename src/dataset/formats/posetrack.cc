#include "dataset/formats/posetrack.h"

#include <fmt/format.h>

#include <map>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"
#include "dataset/json_cursor.h"
#include "dataset/picture_locator.h"

namespace posefix::dataset::formats {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSkeleton = "posetrack17";

// A list is a results or detections file.
bool is_annotation_file(const fs::path& path) {
  const auto file = MappedFile::open(path);
  return JsonCursor(file->text(), path.string()).peek() == '{';
}

void normalise(AnnotationSet& set) {
  for (Annotation& person : set.coco.annotations) {
    person.num_keypoints = labelled_joints(person.keypoints);
    if (person.num_keypoints == 0) person.bbox = {};
    person.area = person.bbox.w * person.bbox.h;
    person.iscrowd = false;
  }
}

size_t measure_all(AnnotationSet& set, const DatasetSource& source) {
  // file_name starts with images/.
  const fs::path root = source.images.empty() ? source.folder : source.images;
  size_t missing = 0;
  for (AnnotatedImage& image : set.coco.images) {
    if (image.width == 0 && !measure(image, root, source.picture_size)) ++missing;
  }
  return missing;
}

class Reader {
 public:
  explicit Reader(const DatasetSource& source) : source_(source) {}

  Conversion read() {
    std::error_code error;
    if (fs::is_regular_file(source_.folder, error)) {
      add_converted(source_.folder);
    } else {
      fs::path folder = source_.folder;
      for (const char* below : {"original_annotations", "annotations"}) {
        if (!fs::is_directory(source_.folder / below, error)) continue;
        folder = source_.folder / below;
        break;
      }
      read_folder(folder);
    }
    if (result_.splits.empty()) {
      throw bad_input("{}: holds no PoseTrack annotations: expected annotations/{{train,val,test}}/VIDEO.json",
                      source_.folder.string());
    }
    if (missing_ > 0) {
      result_.notes.push_back(fmt::format("{} pictures have no size in the file and were not found", missing_));
    }
    return std::move(result_);
  }

 private:
  void read_folder(const fs::path& folder) {
    std::vector<std::string> found;
    for (const char* split : {"train", "val", "test"}) {
      if (!files_with_suffix(folder / split, ".json").empty()) found.emplace_back(split);
    }
    for (const std::string& split : found) add_videos(folder / split, split);
    const std::string own = folder.filename().string();
    if (found.empty() && (own == "train" || own == "val" || own == "test")) {
      add_videos(folder, own);
      return;
    }
    for (const fs::path& path : files_with_suffix(folder, ".json")) add_converted(path);
  }

  void add_videos(const fs::path& folder, const std::string& name) {
    Split split{name + "2018", {kSkeleton, {}, {}, {}}};
    for (const fs::path& path : files_with_suffix(folder, ".json")) {
      append_set(split.set, read_annotation_set(path, kSkeleton), path.string());
    }
    add(std::move(split));
  }

  void add_converted(const fs::path& path) {
    if (!is_annotation_file(path)) {
      result_.notes.push_back(fmt::format("{} is a list, no annotation file; skipped", path.string()));
      return;
    }
    add({path.stem().string(), read_annotation_set(path, kSkeleton)});
  }

  void add(Split split) {
    normalise(split.set);
    missing_ += measure_all(split.set, source_);
    result_.splits.push_back(std::move(split));
  }

  const DatasetSource& source_;
  Conversion result_;
  size_t missing_ = 0;
};

}  // namespace

Conversion read_posetrack(const DatasetSource& source) { return Reader(source).read(); }

std::vector<std::string> write_posetrack(std::span<const Split> splits, const fs::path& out) {
  std::map<fs::path, AnnotationSet> videos;
  for (const Split& split : splits) {
    std::unordered_map<int64_t, AnnotationSet*> video_of;
    for (size_t i = 0; i < split.set.coco.images.size(); ++i) {
      const AnnotatedImage& image = split.set.coco.images[i];
      const fs::path folder = fs::path(image.file_name).parent_path();
      if (!folder.has_filename() || !is_inside(image.file_name)) {
        throw bad_input("{}: /images/{}/file_name: '{}' has no folder of its video (images/val/VIDEO/000000.jpg)",
                        split.set.coco.path, i, image.file_name);
      }
      const std::string part = folder.parent_path().filename().string();
      AnnotationSet& video = videos[fs::path(part) / (folder.filename().string() + ".json")];
      video.skeleton = kSkeleton;
      video.add_image(image, split.set.image_fields[i]);
      video_of[image.id] = &video;
    }
    for (size_t i = 0; i < split.set.coco.annotations.size(); ++i) {
      const Annotation& person = split.set.coco.annotations[i];
      const auto video = video_of.find(person.image_id);
      if (video == video_of.end()) {
        throw bad_input("{}: /annotations/{}/image_id: {} is not among the images", split.set.coco.path, i,
                        person.image_id);
      }
      video->second->add_annotation(person, split.set.annotation_fields[i]);
    }
  }
  for (const auto& [name, video] : videos) {
    make_folder((out / name).parent_path());
    write_annotation_set(out / name, video);
  }
  return {};
}

}  // namespace posefix::dataset::formats
