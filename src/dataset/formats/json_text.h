// JSON text of single values, for writers that need no tree.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <string_view>

#include "base/error.h"
#include "pose/keypoints.h"

namespace posefix::dataset::formats {

// `text` in double quotes, with what JSON asks to be escaped.
inline std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

// JSON text without the white space between its tokens.
inline std::string json_compact(std::string_view text) {
  std::string out;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\' && i + 1 < text.size()) {
      out += c;
      out += text[++i];
      continue;
    }
    if (c == '"') in_string = !in_string;
    if (in_string || (c != ' ' && c != '\n' && c != '\r' && c != '\t')) out += c;
  }
  return out;
}

// Shortest text that reads back to the same double. Error (bad input) for what JSON cannot hold: the product of two
// huge numbers of a file.
inline std::string json_number(double value) {
  if (!std::isfinite(value)) throw bad_input("a coordinate or an area is too large to be written: {}", value);
  return fmt::format("{}", value == 0 ? 0.0 : value);
}

inline std::string json_box(const pose::Box& box) {
  return fmt::format("[{},{},{},{}]", json_number(box.x), json_number(box.y), json_number(box.w), json_number(box.h));
}

// [x, y, score, ...]
inline std::string json_keypoints(const pose::Keypoints& keypoints) {
  std::string out = "[";
  for (const pose::Keypoint& joint : keypoints) {
    if (out.size() > 1) out += ',';
    out += json_number(joint.x) + ',' + json_number(joint.y) + ',' + json_number(joint.score);
  }
  return out + ']';
}

}  // namespace posefix::dataset::formats
