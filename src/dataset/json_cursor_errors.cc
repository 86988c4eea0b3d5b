// What JsonCursor says when a text is not what was expected.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstring>

#include "dataset/json_cursor.h"

namespace posefix::dataset {

void JsonCursor::check_not_a_number() {
  const std::string_view rest(p_, static_cast<size_t>(end_ - p_));
  for (const std::string_view name : {"NaN", "Infinity", "nan", "inf"}) {
    if (!rest.starts_with(name)) continue;
    const bool negative = p_ != text_.data() && p_[-1] == '-';
    throw error(
        offset() - (negative ? 1 : 0),
        fmt::format("expected a finite number, got {}{}, which JSON does not allow", negative ? "-" : "", name));
  }
}

std::string JsonCursor::pointer() const {
  if (path_.empty()) return "/";
  std::string out;
  for (const Step& step : path_) {
    out += '/';
    if (step.key.data() == nullptr) {
      out += std::to_string(step.index);
      continue;
    }
    for (const char c : step.key) {
      if (c == '~' || c == '/') {
        out += c == '~' ? "~0" : "~1";
      } else {
        out += c;
      }
    }
  }
  return out;
}

std::string JsonCursor::place(size_t at) const {
  const std::string_view before = text_.substr(0, std::min(at, text_.size()));
  const size_t line = static_cast<size_t>(std::count(before.begin(), before.end(), '\n')) + 1;
  const size_t newline = before.rfind('\n');
  const size_t column = newline == std::string_view::npos ? at + 1 : at - newline;
  return fmt::format("byte {} (line {}, column {})", at, line, column);
}

Error JsonCursor::error(size_t at, const std::string& message) const {
  return bad_input("{}: {}: byte {}: {}", file_, pointer(), at, message);
}

Error JsonCursor::unexpected(const char* expected) {
  skip_space();
  return error(offset(), fmt::format("expected {}, got {}", expected, describe_next()));
}

void JsonCursor::syntax_error(size_t at, const std::string& message) const {
  throw bad_input("{}: not valid JSON at {}, in {}: {}", file_, place(at), pointer(), message);
}

void JsonCursor::end_error() const {
  const auto end = static_cast<size_t>(end_ - text_.data());
  syntax_error(end, "the file ends in the middle (an interrupted copy or download?)");
}

std::string JsonCursor::describe_next() {
  skip_space();
  if (p_ == end_) return "the end of the file";
  switch (*p_) {
    case '{':
      return "an object";
    case '[':
      return "a list";
    case 't':
    case 'f':
      return "true or false";
    case 'n':
      return "null";
    case '"': {
      const std::string_view rest(p_, std::min<size_t>(static_cast<size_t>(end_ - p_), 24));
      const size_t quote = rest.find('"', 1);
      return quote == std::string_view::npos ? "a string" : fmt::format("the string {}", rest.substr(0, quote + 1));
    }
    default:
      break;
  }
  const auto c = static_cast<unsigned char>(*p_);
  if (c == '-' || std::isdigit(c) != 0) {
    const char* stop = p_;
    while (stop != end_ && stop - p_ < 24 && ((*stop >= '0' && *stop <= '9') || std::strchr("+-.eE", *stop) != nullptr))
      ++stop;
    return fmt::format("the number {}", std::string_view(p_, static_cast<size_t>(stop - p_)));
  }
  return c > 0x20 && c < 0x7F ? fmt::format("'{}'", *p_) : fmt::format("byte 0x{:02x}", c);
}

}  // namespace posefix::dataset
