#include "refine/json_cursor.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

namespace posefix::refine {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Offset of the first character that is not UTF-8; the caller knows there is one.
size_t first_bad_utf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const size_t length = std::min<size_t>(lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4, text.size() - at);
    if (!simdjson::validate_utf8(text.data() + at, length)) break;
    at += length;
  }
  return at;
}

void append_utf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

}  // namespace

JsonCursor::JsonCursor(std::string_view text, std::string name) : text_(text), name_(std::move(name)) {
  if (text_.empty()) throw wrong(0, "the file is empty; expected JSON");
  if (!simdjson::validate_utf8(text_.data(), text_.size())) {
    throw wrong(first_bad_utf8(text_), "not UTF-8 text; expected JSON");
  }
  if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;
}

void JsonCursor::skip_space() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return;
    ++at_;
  }
}

char JsonCursor::peek() {
  skip_space();
  return at_ < text_.size() ? text_[at_] : '\0';
}

bool JsonCursor::take(char c) {
  if (peek() != c || at_ >= text_.size()) return false;
  ++at_;
  return true;
}

void JsonCursor::expect(char c) {
  if (!take(c)) throw expected(fmt::format("'{}'", c));
}

size_t JsonCursor::offset() {
  skip_space();
  return at_;
}

Error JsonCursor::wrong(size_t at, std::string_view message) const {
  if (place_.empty()) return bad_input("{}: at byte {}: {}", name_, at, message);
  const std::string element = element_ < 0 ? "" : fmt::format("[{}]", element_);
  return bad_input("{}: {}{}: at byte {}: {}", name_, place_, element, at, message);
}

Error JsonCursor::expected(std::string_view what) {
  skip_space();
  std::string found = "the end of the file";
  if (at_ < text_.size()) {
    size_t end = at_;
    while (end < text_.size() && end - at_ < 16 && static_cast<unsigned char>(text_[end]) > 0x20 &&
           static_cast<unsigned char>(text_[end]) < 0x7F) {
      ++end;
    }
    found = end > at_ ? fmt::format("`{}`", text_.substr(at_, end - at_))
                      : fmt::format("byte 0x{:02x}", static_cast<unsigned char>(text_[at_]));
  }
  return wrong(at_, fmt::format("expected {}, found {}", what, found));
}

// The grammar of RFC 8259: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
std::string_view JsonCursor::number_text() {
  skip_space();
  size_t end = at_;
  const auto next = [&] { return end < text_.size() ? text_[end] : '\0'; };
  const auto digits = [&] {
    const size_t begin = end;
    while (is_digit(next())) ++end;
    return end > begin;
  };
  if (next() == '-') ++end;
  const bool zero = next() == '0';
  if (!digits()) throw expected("a finite number");
  if (zero && end - at_ > (text_[at_] == '-' ? 2U : 1U)) throw expected("a number without leading zeros");
  if (next() == '.') {
    ++end;
    if (!digits()) throw expected("a number with digits after its point");
  }
  if (next() == 'e' || next() == 'E') {
    ++end;
    if (next() == '+' || next() == '-') ++end;
    if (!digits()) throw expected("a number with digits in its exponent");
  }
  return text_.substr(at_, end - at_);
}

double JsonCursor::number() {
  const std::string_view text = number_text();
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) {
    // from_chars says the same of numbers too small to hold, which are as good as zero.
    value = std::strtod(std::string(text).c_str(), nullptr);
    if (!std::isfinite(value)) throw expected("a finite number");
  }
  at_ += text.size();
  return value;
}

int64_t JsonCursor::integer() {
  const std::string_view text = number_text();
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) {
    at_ += text.size();
    return value;
  }
  if (error == std::errc::result_out_of_range) throw expected("an integer of 64 bits");
  double real = 0;
  std::from_chars(text.data(), text.data() + text.size(), real);
  if (real != std::floor(real) || std::abs(real) > 9007199254740992.0) throw expected("an integer");
  at_ += text.size();
  return static_cast<int64_t>(real);
}

char JsonCursor::escape(std::string& out) {
  const auto hex4 = [&]() -> uint32_t {
    uint32_t code = 0;
    if (text_.size() - at_ < 4) throw wrong(at_, "the file ends inside a \\u escape");
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + at_ + 4, code, 16);
    if (error != std::errc() || end != text_.data() + at_ + 4) throw wrong(at_, "a \\u escape without four hex digits");
    at_ += 4;
    return code;
  };
  const char c = at_ < text_.size() ? text_[at_] : '\0';
  ++at_;
  switch (c) {
    case '"': case '\\': case '/': return c;
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'u': break;
    default: throw wrong(at_ - 1, "unknown escape in a string");
  }
  uint32_t code = hex4();
  if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_, 2) == "\\u") {
    at_ += 2;
    code = 0x10000 + ((code - 0xD800) << 10) + ((hex4() - 0xDC00) & 0x3FF);
  }
  append_utf8(out, code);
  return '\0';
}

std::string JsonCursor::string() {
  if (peek() != '"') throw expected("a string");
  ++at_;
  std::string out;
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (static_cast<unsigned char>(c) < 0x20) throw wrong(at_, "control character in a string");
    ++at_;
    if (c == '"') return out;
    if (c != '\\') {
      out += c;
    } else if (const char plain = escape(out); plain != '\0') {
      out += plain;
    }
  }
  throw wrong(at_, "the file ends inside a string");
}

void JsonCursor::any_at(int depth) {
  if (depth > kMaxDepth) throw wrong(at_, fmt::format("nested more than {} deep", kMaxDepth));
  const char c = peek();
  if (c == '{') {
    object([&](const std::string&) { any_at(depth + 1); });
  } else if (c == '[') {
    array([&](size_t) { any_at(depth + 1); });
  } else if (c == '"') {
    string();
  } else if (c == '-' || is_digit(c)) {
    at_ += number_text().size();
  } else {
    for (const std::string_view word : {"true", "false", "null"}) {
      if (text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        return;
      }
    }
    throw expected("a value");
  }
}

std::string_view JsonCursor::any() {
  skip_space();
  const size_t begin = at_;
  any_at(0);
  return text_.substr(begin, at_ - begin);
}

void JsonCursor::end() {
  skip_space();
  if (at_ < text_.size()) throw expected("the end of the file");
}

}  // namespace posefix::refine
