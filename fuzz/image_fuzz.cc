// A picture from arbitrary bytes: decoded or refused, nothing else.
#include <span>

#include "base/error.h"
#include "image/codec.h"
#include "image/image.h"
#include "memory_bound.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const posefix::fuzz::MemoryBound bound(size);
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  try {
    // A header may ask for hundreds of megabytes; that is no finding.
    const auto header = posefix::image::is_jpeg(bytes)  ? posefix::image::jpeg_header(bytes, "input")
                        : posefix::image::is_png(bytes) ? posefix::image::png_header(bytes, "input")
                                                        : posefix::image::ImageHeader{};
    if (int64_t{header.width} * header.height > int64_t{1} << 20) return 0;
    posefix::image::decode(bytes, "input", posefix::image::ExifOrientation::kApply);
  } catch (const posefix::Error&) {
  }
  return 0;
}
