// Finds the picture of an image id.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "dataset/coco_annotations.h"

namespace posefix::dataset {

// Whether `file_name` stays inside the folder it is joined to: relative and without a ".." that climbs out.
bool is_inside(const std::string& file_name);

class PictureLocator {
 public:
  // `annotations` may be null (then by the entry's file_name or the id alone) and must outlive this.
  PictureLocator(std::filesystem::path folder, const CocoAnnotations* annotations);

  // Looked for, in this order: the annotations' file_name of the id; `file_name` (an entry's own); if there is neither,
  // the id zero-padded to 12 digits with .jpg, .jpeg or .png. Error (bad input) says what was looked for and what lies
  // there instead, and refuses names that climb out of the folder. Absolute names are not followed.
  std::filesystem::path find(int64_t image_id, const std::optional<std::string>& file_name = std::nullopt) const;
  // Nothing instead of the Error where there is no such file: cheap for thousands.
  std::optional<std::filesystem::path> find_if_there(int64_t image_id) const;

 private:
  std::vector<std::string> names_of(int64_t image_id, const std::optional<std::string>& file_name) const;
  std::optional<std::filesystem::path> first_of(const std::vector<std::string>& names) const;

  std::filesystem::path folder_;
  const CocoAnnotations* annotations_;
};

}  // namespace posefix::dataset
