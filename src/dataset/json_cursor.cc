#include "dataset/json_cursor.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

#include "dataset/json_number.h"

namespace posefix::dataset {
namespace {

bool is_digit(char c) { return static_cast<unsigned char>(c - '0') < 10; }

// Length of the UTF-8 sequence at p (2..4), 0 if it is not one (overlong, surrogate, beyond U+10FFFF, cut off).
size_t utf8_length(const char* p, const char* end) {
  const auto byte = [&](size_t i) { return p + i < end ? static_cast<unsigned char>(p[i]) : 0U; };
  const auto continues = [&](size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const unsigned a = byte(0);
  const unsigned b = byte(1);
  if (a >= 0xC2 && a <= 0xDF) return continues(1) ? 2 : 0;
  if (a >= 0xE0 && a <= 0xEF) {
    if ((a == 0xE0 && b < 0xA0) || (a == 0xED && b > 0x9F)) return 0;
    return continues(1) && continues(2) ? 3 : 0;
  }
  if (a >= 0xF0 && a <= 0xF4) {
    if ((a == 0xF0 && b < 0x90) || (a == 0xF4 && b > 0x8F)) return 0;
    return continues(1) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
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

// Value of four hex digits, -1 if they are none.
int hex4(std::string_view digits) {
  unsigned value = 0;
  if (digits.size() < 4) return -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + 4, value, 16);
  return error == std::errc() && end == digits.data() + 4 ? static_cast<int>(value) : -1;
}

// Steps over "[number, ...]" from the opening bracket on; take(value) gets each. Only short numbers, with a space after
// every comma or after none: null for anything else, and then `take` has got some of them already.
template <typename Take>
const char* short_number_list(const char* p, const char* end, Take&& take) {
  double value = 0;
  ++p;
  if (!read_short_number(p, end, value)) return nullptr;
  take(value);
  const ptrdiff_t gap = p[1] == ' ' ? 2 : 1;
  while (*p == ',') {
    if (gap == 2 && p[1] != ' ') return nullptr;
    p += gap;
    if (!read_short_number(p, end, value)) return nullptr;
    take(value);
  }
  return *p == ']' ? p + 1 : nullptr;
}

}  // namespace

JsonCursor::JsonCursor(std::string_view text, std::string file)
    : text_(text), file_(std::move(file)), begin_(text.data()), p_(text.data()), end_(text.data() + text.size()) {
  if (text.starts_with("\xEF\xBB\xBF")) {
    begin_ += 3;
    p_ = begin_;
  } else if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
    syntax_error(0, "this is UTF-16 text; JSON must be UTF-8 (convert it with iconv)");
  } else if (text.starts_with("\x1F\x8B")) {
    syntax_error(0, "this is gzip data; unpack it with gunzip first");
  } else if (text.empty()) {
    syntax_error(0, "the file is empty (0 bytes)");
  }
}

// Hot loops read through a local pointer: a char may alias p_, which would then be stored at every step.
void JsonCursor::skip_spaces() {
  const char* p = p_;
  const char* const end = end_;
  while (p != end && static_cast<unsigned char>(*p) <= ' ' && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
    ++p;
  p_ = p;
}

char JsonCursor::peek() {
  skip_space();
  if (p_ == end_) end_error();
  const char c = *p_;
  if (c == '{' || c == '[' || c == '"' || c == '-' || is_digit(c)) return c;
  if (c == 't' || c == 'f' || c == 'n') return c;
  check_not_a_number();
  if (c == '\'') syntax_error(offset(), "a single quote; JSON strings stand in double quotes");
  if (c == '/' || c == '#') syntax_error(offset(), "JSON knows no comments");
  if (c == ',' || c == ']' || c == '}') syntax_error(offset(), fmt::format("'{}' where a value should stand", c));
  syntax_error(offset(), fmt::format("{} where a value should stand", describe_next()));
}

void JsonCursor::expect(char c, const char* what) {
  if (take(c)) return;
  if (p_ == end_) end_error();
  if (*p_ == '\'') syntax_error(offset(), "a single quote; JSON strings stand in double quotes");
  syntax_error(offset(), fmt::format("expected {}, got {}", what, describe_next()));
}

bool JsonCursor::next_member(bool first, char close) {
  if (take(close)) return false;
  if (!first) {
    skip_space();
    const size_t comma = offset();
    expect(',', close == ']' ? "',' or ']'" : "',' or '}'");
    skip_space();
    if (p_ != end_ && *p_ == close) syntax_error(comma, fmt::format("a comma before the closing '{}'", close));
  }
  skip_space();
  if (p_ == end_) end_error();
  return true;
}

std::string_view JsonCursor::raw_string(bool* has_escapes) {
  const char* start = ++p_;
  *has_escapes = false;
  for (;;) {
    const char* p = p_;
    while (p != end_ && static_cast<signed char>(*p) >= 0x20 && *p != '"' && *p != '\\') ++p;
    p_ = p;
    if (p == end_) break;
    const auto c = static_cast<unsigned char>(*p_);
    if (c == '"') return {start, static_cast<size_t>(p_++ - start)};
    if (c == '\\') {
      *has_escapes = true;
      if (p_ + 1 == end_) break;
      if (std::strchr("\"\\/bfnrtu", p_[1]) == nullptr || p_[1] == 0)
        syntax_error(offset(), "unknown escape in a string");
      if (p_[1] == 'u' && hex4({p_ + 2, static_cast<size_t>(std::min<ptrdiff_t>(4, end_ - p_ - 2))}) < 0) {
        syntax_error(offset(), "expected four hexadecimal digits after \\u");
      }
      p_ += 2;
    } else if (c < 0x20) {
      syntax_error(offset(), fmt::format("control character 0x{:02x} in a string", c));
    } else {
      const size_t length = utf8_length(p_, end_);
      if (length == 0) syntax_error(offset(), fmt::format("byte 0x{:02x} is not UTF-8", c));
      p_ += length;
    }
  }
  end_error();
}

std::string JsonCursor::decode(std::string_view raw, size_t start) const {
  std::string out;
  out.reserve(raw.size());
  for (size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '\\') {
      out += raw[i];
      continue;
    }
    const char c = raw[++i];
    if (c != 'u') {
      static constexpr std::string_view kNames = "bfnrt";
      const size_t found = kNames.find(c);
      out += found == std::string_view::npos ? c : "\b\f\n\r\t"[found];
      continue;
    }
    auto code = static_cast<uint32_t>(hex4(raw.substr(i + 1)));
    i += 4;
    if (code >= 0xD800 && code < 0xDC00 && raw.substr(i + 1).starts_with("\\u")) {
      const int low = hex4(raw.substr(i + 3));
      if (low >= 0xDC00 && low < 0xE000) {
        code = 0x10000 + ((code - 0xD800) << 10) + (static_cast<uint32_t>(low) - 0xDC00);
        i += 6;
      }
    }
    if (code >= 0xD800 && code < 0xE000) syntax_error(start + i, "half a surrogate pair in a string");
    append_utf8(out, code);
  }
  return out;
}

std::string_view JsonCursor::key() {
  skip_space();
  if (p_ == end_) end_error();
  if (*p_ != '"') expect('"', "a field name in double quotes");
  const size_t start = offset();
  bool has_escapes = false;
  std::string_view name = raw_string(&has_escapes);
  raw_key_ = name;
  if (has_escapes) {
    decoded_key_ = decode(name, start);
    name = decoded_key_;
  }
  expect(':', "':' after a field name");
  return name;
}

double JsonCursor::number() {
  skip_space();
  double value = 0;
  if (read_short_number(p_, end_, value)) return value;
  const char* const start = p_;
  const char* const end = end_;
  const char* p = start;
  const bool negative = p != end && *p == '-';
  if (negative) ++p;
  const char* const digits = p;
  uint64_t mantissa = 0;
  for (; p != end && is_digit(*p); ++p) mantissa = mantissa * 10 + static_cast<uint64_t>(*p - '0');
  ptrdiff_t count = p - digits;
  if (count == 0 || (count > 1 && *digits == '0')) return slow_number(start);
  ptrdiff_t decimals = 0;
  if (p != end && *p == '.') {
    const char* const fraction = ++p;
    for (; p != end && is_digit(*p); ++p) mantissa = mantissa * 10 + static_cast<uint64_t>(*p - '0');
    decimals = p - fraction;
    count += decimals;
    if (decimals == 0) return slow_number(start);
  }
  const bool has_exponent = p != end && (*p == 'e' || *p == 'E');
  if (has_exponent || count > 19 || mantissa > (uint64_t{1} << 53) || decimals > 22) return slow_number(start);
  p_ = p;
  // Both operands are exact, so one division rounds correctly (Clinger 1990).
  value = static_cast<double>(mantissa) / kPowersOfTen[decimals];
  return negative ? -value : value;
}

double JsonCursor::slow_number(const char* start) {
  p_ = start;
  if (peek() != '-' && !is_digit(*p_)) throw unexpected("a number");
  skip_number();
  double value = 0;
  const auto [end, error_code] = std::from_chars(start, p_, value);
  if (error_code == std::errc::result_out_of_range) {
    const std::string_view written(start, static_cast<size_t>(p_ - start));
    const size_t e = written.find_first_of("eE");
    if (e != std::string_view::npos && written[e + 1] == '-') return *start == '-' ? -0.0 : 0.0;
    throw error(static_cast<size_t>(start - text_.data()),
                fmt::format("the number {} is beyond the range of a double", written.substr(0, 40)));
  }
  PFX_CHECK(end == p_);
  return value;
}

int64_t JsonCursor::integer(bool* was_float) {
  if (was_float != nullptr) *was_float = false;
  if (peek() != '-' && !is_digit(*p_)) throw unexpected("an integer");
  const char* start = p_;
  skip_number();
  int64_t value = 0;
  const auto [end, error_code] = std::from_chars(start, p_, value);
  if (error_code == std::errc() && end == p_) return value;
  const std::string_view written(start, static_cast<size_t>(p_ - start));
  const size_t at = static_cast<size_t>(start - text_.data());
  double real = 0;
  const bool fits = written.find_first_of(".eE") != std::string_view::npos &&
                    std::from_chars(start, p_, real).ec == std::errc() && std::abs(real) <= 0x1p53;
  if (fits && real == std::floor(real)) {
    if (was_float != nullptr) *was_float = true;
    return static_cast<int64_t>(real);
  }
  if (error_code == std::errc::result_out_of_range) {
    throw error(at, fmt::format("expected an integer, got {}, which is beyond 64 bits", written.substr(0, 40)));
  }
  throw error(at, fmt::format("expected an integer, got {}", written.substr(0, 40)));
}

bool JsonCursor::boolean() {
  const char c = peek();
  if (c != 't' && c != 'f') throw unexpected("true or false");
  skip_literal(c == 't' ? "true" : "false");
  return c == 't';
}

std::string JsonCursor::string() {
  if (peek() != '"') throw unexpected("a string");
  const size_t start = offset();
  bool has_escapes = false;
  const std::string_view raw = raw_string(&has_escapes);
  return has_escapes ? decode(raw, start) : std::string(raw);
}

void JsonCursor::numbers(std::vector<double>& values) {
  values.clear();
  if (peek() == '[') {
    // Without a look at the place of each number; whatever is unusual is read again by array().
    std::array<double, 64> block;
    size_t count = 0;
    const char* const after = short_number_list(p_, end_, [&](double value) {
      block[count++] = value;
      if (count < block.size()) return;
      values.insert(values.end(), block.begin(), block.end());
      count = 0;
    });
    if (after != nullptr) {
      values.insert(values.end(), block.begin(), block.begin() + static_cast<ptrdiff_t>(count));
      p_ = after;
      return;
    }
    values.clear();
  }
  array([&](size_t) { values.push_back(number()); });
}

void JsonCursor::skip_number() {
  const char* start = p_;
  const auto digits = [&](const char* where) {
    if (p_ == end_) end_error();
    if (!is_digit(*p_)) syntax_error(offset(), fmt::format("expected a digit {}", where));
    const char* p = p_;
    const char* const end = end_;
    while (p != end && is_digit(*p)) ++p;
    p_ = p;
  };
  if (*p_ == '-') {
    ++p_;
    check_not_a_number();
  }
  const char* first = p_;
  digits("in a number");
  if (*first == '0' && p_ - first > 1) {
    syntax_error(static_cast<size_t>(start - text_.data()), "a number must not start with 0 and another digit");
  }
  if (p_ != end_ && *p_ == '.') {
    ++p_;
    digits("after the decimal point");
  }
  if (p_ != end_ && (*p_ == 'e' || *p_ == 'E')) {
    ++p_;
    if (p_ != end_ && (*p_ == '+' || *p_ == '-')) ++p_;
    digits("in an exponent");
  }
}

void JsonCursor::skip_literal(std::string_view literal) {
  const std::string_view rest(p_, static_cast<size_t>(end_ - p_));
  if (!rest.starts_with(literal)) {
    if (literal.starts_with(rest)) end_error();
    syntax_error(offset(), fmt::format("{} where a value should stand", describe_next()));
  }
  p_ += literal.size();
}

std::string_view JsonCursor::skip() {
  peek();
  const char* start = p_;
  open_.clear();
  bool first = true;  // no member of the innermost bracket was read yet
  do {
    if (!open_.empty()) {
      if (!next_member(first, open_.back())) {
        open_.pop_back();
        first = false;
        continue;
      }
      if (open_.back() == '}') key();
    }
    first = false;
    bool has_escapes = false;
    switch (const char c = peek()) {
      case '[':
        if (const char* after = short_number_list(p_, end_, [](double) {}); after != nullptr) {
          p_ = after;
          break;
        }
        [[fallthrough]];
      case '{':
        ++p_;
        if (open_.size() >= kDeepest) syntax_error(offset() - 1, fmt::format("nested deeper than {}", kDeepest));
        open_.push_back(c == '{' ? '}' : ']');
        first = true;
        break;
      case '"':
        raw_string(&has_escapes);
        break;
      case 't':
        skip_literal("true");
        break;
      case 'f':
        skip_literal("false");
        break;
      case 'n':
        skip_literal("null");
        break;
      default:
        skip_number();
    }
  } while (!open_.empty());
  return {start, static_cast<size_t>(p_ - start)};
}

void JsonCursor::finish() {
  skip_space();
  if (p_ == end_) return;
  syntax_error(offset(),
               *p_ == '{' || *p_ == '['
                   ? "a second JSON document; one file holds one (JSON lines are not read: make them one list)"
                   : "text after the end of the document");
}

}  // namespace posefix::dataset
