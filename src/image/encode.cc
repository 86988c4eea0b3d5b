#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/file.h"
#include "image/codec.h"
#include "image/image.h"

namespace posefix::image {

namespace {

std::string lower_extension(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return extension;
}

}  // namespace

void check_can_encode(const std::filesystem::path& path) {
  const std::string extension = lower_extension(path);
  if (extension == ".png" || extension == ".jpg" || extension == ".jpeg") return;
  throw bad_input("{}: cannot write a picture with the extension '{}'; use .png, .jpg or .jpeg", path.string(),
                  extension);
}

void encode(const Image& image, const std::filesystem::path& path) {
  constexpr int kJpegQuality = 92;
  PFX_CHECK(image.bgr.size() == 3 * static_cast<size_t>(image.width) * static_cast<size_t>(image.height));
  check_size(image.width, image.height, path.string());
  check_can_encode(path);
  std::vector<std::byte> bytes;
  if (lower_extension(path) == ".png") {
    bytes = encode_png(image);
  } else {
    if (image.width > 65500 || image.height > 65500) {
      throw bad_input("{}: {} x {} px is more than a JPEG holds (65500); write a .png", path.string(), image.width,
                      image.height);
    }
    bytes = encode_jpeg(image, kJpegQuality);
  }
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

}  // namespace posefix::image
