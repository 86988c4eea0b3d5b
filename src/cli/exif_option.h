// The option --exif of every verb that opens pictures for which there are poses.
#pragma once

#include <CLI/App.hpp>

#include "image/image.h"

namespace posefix::cli {

// `orientation` must outlive the parsing.
inline void add_exif_option(CLI::App& app, image::ExifOrientation& orientation) {
  app.add_option_function<std::string>(
         "--exif",
         [&orientation](const std::string& text) {
           orientation = text == "apply" ? image::ExifOrientation::kApply : image::ExifOrientation::kIgnore;
         },
         "a picture's EXIF orientation: ignore as COCO does, or apply if the poses were made on the upright picture")
      ->default_str("ignore")
      ->check(CLI::IsMember({"ignore", "apply"}));
}

}  // namespace posefix::cli
