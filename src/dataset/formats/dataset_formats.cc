#include "dataset/formats/dataset_formats.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "base/spelling.h"
#include "dataset/formats/aic.h"
#include "dataset/formats/crowdpose.h"
#include "dataset/formats/lsp.h"
#include "dataset/formats/mpii.h"
#include "dataset/formats/posetrack.h"

namespace posefix::dataset::formats {
namespace {

namespace fs = std::filesystem;

constexpr DatasetFormat kFormats[] = {
    {"aic", "aic14", &read_aic, &write_aic},
    {"crowdpose", "crowdpose14", &read_crowdpose, &write_crowdpose},
    {"lsp", "lsp14", &read_lsp, &write_lsp},
    {"mpii", "mpii16", &read_mpii, &write_mpii},
    {"posetrack", "posetrack17", &read_posetrack, &write_posetrack},
};

}  // namespace

const DatasetFormat& dataset_format(const std::string& name) {
  for (const DatasetFormat& format : kFormats) {
    if (name == format.name) return format;
  }
  throw bad_input("data set '{}' is not known; the nearest is '{}'; there are: {}", name,
                  nearest_name(name, dataset_format_names()), fmt::join(dataset_format_names(), ", "));
}

std::vector<std::string> dataset_format_names() {
  std::vector<std::string> names;
  for (const DatasetFormat& format : kFormats) names.emplace_back(format.name);
  return names;
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw failed("{}: the folder cannot be made: {}", folder.string(), error.message());
}

fs::path image_folder(const DatasetSource& source) {
  if (!source.images.empty()) return source.images;
  std::error_code error;
  const fs::path images = source.folder / "images";
  return fs::is_directory(images, error) ? images : fs::path();
}

std::string picture_prefix(const DatasetSource& source, const std::string& example) {
  std::error_code error;
  if (!source.images.empty()) return "";
  return fs::is_regular_file(source.folder / example, error) ? "" : "images/";
}

bool measure(AnnotatedImage& image, const fs::path& folder, const ReadPictureSize& picture_size) {
  std::error_code error;
  if (folder.empty() || !picture_size || !fs::is_regular_file(folder / image.file_name, error)) return false;
  const PictureSize size = picture_size(folder / image.file_name);
  image.width = size.width;
  image.height = size.height;
  return true;
}

std::vector<fs::path> files_with_suffix(const fs::path& folder, std::string_view suffix, bool recursive) {
  std::vector<fs::path> files;
  std::error_code error;
  const auto add = [&](const fs::directory_entry& entry) {
    std::error_code ignored;
    const std::string name = entry.path().filename().string();
    if (name.ends_with(suffix) && !name.starts_with('.') && entry.is_regular_file(ignored))
      files.push_back(entry.path());
  };
  if (recursive) {
    for (const auto& entry : fs::recursive_directory_iterator(folder, error)) add(entry);
  } else {
    for (const auto& entry : fs::directory_iterator(folder, error)) add(entry);
  }
  std::sort(files.begin(), files.end());
  return files;
}

void append_set(AnnotationSet& to, AnnotationSet&& from, const std::string& from_name) {
  std::unordered_set<int64_t> ids;
  for (const Annotation& annotation : to.coco.annotations) ids.insert(annotation.id);
  for (size_t i = 0; i < from.coco.images.size(); ++i) {
    if (const AnnotatedImage* first = to.coco.find_image(from.coco.images[i].id)) {
      throw bad_input("{}: /images/{}/id: {} is already the id of {}", from_name, i, first->id, first->file_name);
    }
    to.add_image(std::move(from.coco.images[i]), std::move(from.image_fields[i]));
  }
  for (size_t i = 0; i < from.coco.annotations.size(); ++i) {
    if (!ids.insert(from.coco.annotations[i].id).second) {
      throw bad_input("{}: /annotations/{}/id: {} is already another annotation's id", from_name, i,
                      from.coco.annotations[i].id);
    }
    to.add_annotation(std::move(from.coco.annotations[i]), std::move(from.annotation_fields[i]));
  }
}

std::vector<fs::path> annotation_files(const fs::path& folder) {
  std::error_code error;
  if (fs::is_regular_file(folder, error)) return {folder};
  if (!fs::is_directory(folder, error)) throw bad_input("{}: no such folder", folder.string());
  std::vector<fs::path> files = files_with_suffix(folder / "annotations", ".json");
  if (files.empty()) files = files_with_suffix(folder, ".json");
  if (files.empty()) {
    throw bad_input("{}: neither it nor its folder annotations/ holds a .json file", folder.string());
  }
  return files;
}

std::vector<Split> read_coco_splits(const fs::path& folder, const std::string& skeleton) {
  std::vector<Split> splits;
  for (const fs::path& path : annotation_files(folder)) {
    splits.push_back({path.stem().string(), read_annotation_set(path, skeleton)});
  }
  return splits;
}

}  // namespace posefix::dataset::formats
