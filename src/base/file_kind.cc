#include "base/file_kind.h"

#include <algorithm>
#include <array>

namespace posefix {
namespace {

struct Kind {
  std::string_view begin;
  std::string_view name;
};

constexpr std::array kKinds{
    Kind{"\xFF\xD8\xFF", "a JPEG picture"},
    Kind{"\x89PNG\r\n", "a PNG picture"},
    Kind{"GIF8", "a GIF picture"},
    Kind{"RIFF", "a RIFF file (as WebP pictures and AVI films are)"},
    Kind{"\177ELF", "a program or library (ELF)"},
    Kind{"PK\x03\x04", "a ZIP archive (as PyTorch's .pt and .pth and numpy's .npz are)"},
    Kind{"\x1F\x8B", "a gzip archive"},
    Kind{"\x89HDF\r\n", "an HDF5 file (as Keras' .h5 are)"},
    Kind{"\x93NUMPY", "a numpy array"},
    Kind{"%PDF", "a PDF document"},
    Kind{"PFXPLAN\x1A", "a posefix plan"},
};

constexpr std::string_view kTableEnd = "\x57\xFB\x80\x8B\x24\x75\x47\xDB";  // of TensorFlow's index and V1 files

constexpr size_t kLooked = 256;  // bytes that tell a text

bool is_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 ? byte != 0x7F : c == '\n' || c == '\r' || c == '\t';
  });
}

}  // namespace

std::string_view file_kind(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), kLooked));
  if (text.empty()) return "an empty file";
  for (const Kind& kind : kKinds) {
    if (text.starts_with(kind.begin)) return kind.name;
  }
  const std::string_view whole(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (whole.ends_with(kTableEnd)) return "a TensorFlow checkpoint ('posefix init --from' makes a snapshot of it)";
  if (!is_text(text)) return "";
  return text.starts_with('{') || text.starts_with('[') ? "JSON text" : "a text";
}

}  // namespace posefix
