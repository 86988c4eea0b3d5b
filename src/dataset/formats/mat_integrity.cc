#include "dataset/formats/mat_integrity.h"

#include <zlib.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/error.h"

namespace posefix::dataset::formats {
namespace {

constexpr size_t kHeaderBytes = 128;
constexpr size_t kTagBytes = 8;
constexpr uint32_t kCompressed = 15;

uint32_t read_u32(const std::byte* at, bool swap) {
  uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return swap ? __builtin_bswap32(value) : value;
}

bool inflates(std::span<const std::byte> data) {
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) throw failed("zlib cannot start");
  std::vector<Bytef> sink(1 << 16);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  int status = Z_OK;
  while (status == Z_OK) {
    stream.next_out = sink.data();
    stream.avail_out = static_cast<uInt>(sink.size());
    status = inflate(&stream, Z_NO_FLUSH);
  }
  inflateEnd(&stream);
  return status == Z_STREAM_END;
}

}  // namespace

void check_mat_integrity(std::span<const std::byte> bytes, const std::string& path) {
  if (bytes.size() < kHeaderBytes) return;
  const char* endian = reinterpret_cast<const char*>(bytes.data()) + 126;
  const bool little = std::memcmp(endian, "IM", 2) == 0;
  if (!little && std::memcmp(endian, "MI", 2) != 0) return;
  const bool swap = little != (std::endian::native == std::endian::little);
  const auto major = static_cast<unsigned>(bytes[little ? 125 : 124]);
  if (major != 1) return;  // 2: HDF5, which checks itself
  for (size_t at = kHeaderBytes; at < bytes.size();) {
    const size_t left = bytes.size() - at;
    if (left < kTagBytes) throw bad_input("{}: byte {}: the file ends inside an element's tag", path, at);
    const uint32_t type = read_u32(bytes.data() + at, swap);
    const uint64_t size = read_u32(bytes.data() + at + 4, swap);
    if (size > left - kTagBytes) {
      throw bad_input("{}: byte {}: an element of {} bytes, but the file ends after {}; it is cut off, get it again",
                      path, at, size, left - kTagBytes);
    }
    if (type == kCompressed && !inflates(bytes.subspan(at + kTagBytes, size))) {
      throw bad_input("{}: byte {}: the compressed element is damaged; get the file again", path, at);
    }
    at += kTagBytes + (type == kCompressed ? size : (size + 7) / 8 * 8);
  }
}

}  // namespace posefix::dataset::formats
