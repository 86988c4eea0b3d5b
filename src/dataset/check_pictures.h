// Opens every picture of an annotation file.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/threads.h"
#include "dataset/check_report.h"
#include "dataset/coco_annotations.h"

namespace posefix::dataset {

// What opening a picture says; given from outside because this folder does not decode.
struct PictureFacts {
  int width = 0;  // as the picture will be used: with its EXIF orientation ignored or applied
  int height = 0;
  int exif_orientation = 1;
  std::string format;                 // "JPEG", "PNG"
  std::optional<std::string> damage;  // pixels cannot be decoded in full: message with file and byte offset
};

// Throws Error if the header cannot be read. Called from several threads. `deep`: decode the pixels too.
using PictureProbe = std::function<PictureFacts(const std::filesystem::path& path, bool deep)>;

// Errors: pictures that are missing or have no readable header. Warnings: damaged pixels, another size than annotated,
// content that does not fit the file name's ending. Adds a summary.
void check_pictures(const CocoAnnotations& annotations, const std::filesystem::path& folder, const PictureProbe& probe,
                    bool deep, ThreadPool& pool, CheckReport& report);

}  // namespace posefix::dataset
