#include "dataset/picture_locator.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/file.h"

namespace posefix::dataset {

bool is_inside(const std::string& file_name) {
  const std::filesystem::path path(file_name);
  if (file_name.empty() || path.is_absolute() || file_name.find('\0') != std::string::npos) return false;
  int depth = 0;
  for (const std::filesystem::path& part : path) {
    if (part == "..") {
      --depth;
    } else if (part != "." && !part.empty()) {
      ++depth;
    }
    if (depth < 0) return false;
  }
  return depth > 0;
}

PictureLocator::PictureLocator(std::filesystem::path folder, const CocoAnnotations* annotations)
    : folder_(std::move(folder)), annotations_(annotations) {}

std::vector<std::string> PictureLocator::names_of(int64_t image_id, const std::optional<std::string>& file_name) const {
  std::vector<std::string> names;
  const AnnotatedImage* image = annotations_ != nullptr ? annotations_->find_image(image_id) : nullptr;
  if (image != nullptr) names.push_back(image->file_name);
  if (file_name) names.push_back(*file_name);
  for (const std::string& name : names) {
    if (is_inside(name) || std::filesystem::path(name).is_absolute()) continue;
    throw bad_input("image {}: file_name '{}' leads out of {}; pictures are read from that folder alone", image_id,
                    name, folder_.string());
  }
  std::erase_if(names, [](const std::string& name) { return !is_inside(name); });
  // A name that was given is not overruled by a file that happens to be called like the id.
  if (names.empty()) {
    for (const char* extension : {".jpg", ".jpeg", ".png"})
      names.push_back(fmt::format("{:012}{}", image_id, extension));
  }
  return names;
}

std::optional<std::filesystem::path> PictureLocator::find_if_there(int64_t image_id) const {
  return first_of(names_of(image_id, std::nullopt));
}

std::optional<std::filesystem::path> PictureLocator::first_of(const std::vector<std::string>& names) const {
  std::error_code ignored;
  for (const std::string& name : names) {
    std::filesystem::path path = folder_ / name;
    if (std::filesystem::is_regular_file(path, ignored)) return path;
  }
  return std::nullopt;
}

std::filesystem::path PictureLocator::find(int64_t image_id, const std::optional<std::string>& file_name) const {
  const std::vector<std::string> names = names_of(image_id, file_name);
  if (std::optional<std::filesystem::path> path = first_of(names)) return *path;
  check_folder(folder_, fmt::format("image {}", image_id));
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, ignored)) {
    if (!entry.is_directory(ignored) || !std::filesystem::is_regular_file(entry.path() / names.front(), ignored))
      continue;
    throw bad_input("image {}: no picture {}; it lies in {}: is that the picture folder?", image_id,
                    (folder_ / names.front()).string(), entry.path().string());
  }
  const std::string similar = files_like(folder_, names.front());
  throw bad_input("image {}: no picture {}{}{}; {}", image_id, (folder_ / names.front()).string(),
                  names.size() > 1 ? ", nor " : "", fmt::join(names.begin() + 1, names.end(), ", "),
                  similar.empty() ? "the folder holds no files" : "in the folder lie " + similar);
}

}  // namespace posefix::dataset
