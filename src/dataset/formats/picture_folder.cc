#include "dataset/formats/picture_folder.h"

#include <algorithm>
#include <cctype>

#include "base/error.h"

namespace posefix::dataset::formats {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostDigits = 18;  // of a number that fits int64

bool is_picture(const fs::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png";
}

}  // namespace

PictureFolder::PictureFolder(const fs::path& folder, ReadPictureSize picture_size)
    : folder_(folder), picture_size_(std::move(picture_size)) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) throw bad_input("{}: no such folder of pictures", folder.string());
  for (const auto& entry : fs::recursive_directory_iterator(folder, error)) {
    if (is_picture(entry.path())) names_.push_back(entry.path().lexically_relative(folder).generic_string());
  }
  std::sort(names_.begin(), names_.end());
  for (size_t i = 0; i < names_.size(); ++i) {
    const fs::path path(names_[i]);
    by_key_[path.filename().string()].push_back(i);
    const std::string stem = path.stem().string();
    by_key_[stem].push_back(i);
    const size_t digits = stem.size() - (stem.find_last_not_of("0123456789") + 1);
    if (digits > 0 && digits <= kMostDigits) by_number_[std::stoll(stem.substr(stem.size() - digits))].push_back(i);
  }
}

std::optional<std::string> PictureFolder::find(const std::string& name) const {
  if (std::binary_search(names_.begin(), names_.end(), name)) return name;
  const fs::path path(name);
  for (const std::string& key : {path.filename().string(), path.stem().string()}) {
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) continue;
    if (found->second.size() > 1) {
      throw bad_input("{}: '{}' may be {} or {}; keep one of them there", folder_.string(), name,
                      names_[found->second[0]], names_[found->second[1]]);
    }
    return names_[found->second[0]];
  }
  return std::nullopt;
}

std::optional<std::string> PictureFolder::find_number(int64_t number) const {
  const auto found = by_number_.find(number);
  if (found == by_number_.end() || found->second.size() > 1) return std::nullopt;
  return names_[found->second[0]];
}

PictureSize PictureFolder::size(const std::string& name, const std::string& needed_for) const {
  if (!given())
    throw bad_input("{}: the size of its picture is needed {}; say where it lies with --images", name, needed_for);
  const std::optional<std::string> found = find(name);
  if (!found) throw bad_input("{}: its picture is needed {}, but is not in {}", name, needed_for, folder_.string());
  return picture_size_(folder_ / *found);
}

}  // namespace posefix::dataset::formats
