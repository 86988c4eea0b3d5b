#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/file.h"
#include "image/codec.h"
#include "image/image.h"

namespace posefix::image {

void encode(const Image& image, const std::filesystem::path& path) {
  constexpr int kJpegQuality = 92;
  PFX_CHECK(image.bgr.size() == 3 * static_cast<size_t>(image.width) * static_cast<size_t>(image.height));
  check_size(image.width, image.height, path.string());
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  std::vector<std::byte> bytes;
  if (extension == ".png") {
    bytes = encode_png(image);
  } else if (extension == ".jpg" || extension == ".jpeg") {
    if (image.width > 65500 || image.height > 65500) {
      throw bad_input("{}: {} x {} px is more than a JPEG holds (65500); write a .png", path.string(), image.width,
                      image.height);
    }
    bytes = encode_jpeg(image, kJpegQuality);
  } else {
    throw bad_input("{}: cannot write a picture with the extension '{}'; use .png, .jpg or .jpeg", path.string(),
                    extension);
  }
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

}  // namespace posefix::image
