// What kind of file some bytes are, for the message to somebody who named the wrong one.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace posefix {

// By its first bytes, or its last: "a JPEG picture", "JSON text", "a ZIP archive (as PyTorch's .pt and .pth are)", "an
// empty file" and so on; "" for what is not known here, safetensors, frozen graphs and ONNX models among it.
std::string_view file_kind(std::span<const std::byte> bytes);

}  // namespace posefix
