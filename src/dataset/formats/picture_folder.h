// The pictures of a folder, found by the names that estimators give them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "dataset/formats/annotation_set.h"

namespace posefix::dataset::formats {

class PictureFolder {
 public:
  PictureFolder() = default;
  // Lists .jpg, .jpeg and .png below `folder` (any case). Error (bad input) if it is no folder.
  PictureFolder(const std::filesystem::path& folder, ReadPictureSize picture_size);

  bool given() const { return !folder_.empty(); }
  // The picture's path relative to the folder. `name` may be that path, the file name, or the name without extension;
  // nullopt if there is none. Error (bad input) if several fit.
  std::optional<std::string> find(const std::string& name) const;
  // The one picture whose name ends with this number (img00042.png: 42); nullopt if there is none or are several.
  std::optional<std::string> find_number(int64_t number) const;
  // Error (bad input) says what is missing if there is no folder or no such picture; `needed_for` completes "is
  // needed".
  PictureSize size(const std::string& name, const std::string& needed_for) const;

 private:
  std::filesystem::path folder_;
  ReadPictureSize picture_size_;
  std::vector<std::string> names_;
  std::map<std::string, std::vector<size_t>> by_key_;  // file name and stem -> positions in names_
  std::map<int64_t, std::vector<size_t>> by_number_;   // digits at the end of the stem
};

}  // namespace posefix::dataset::formats
