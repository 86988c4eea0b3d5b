// Reads a large JSON text once, front to back, without building a tree.
//
// The caller says what it expects next; anything else is an Error (bad input) with file, JSON pointer, byte offset,
// line and column. The grammar is RFC 8259 exactly, skipped parts included: UTF-8, no control characters in strings,
// no NaN, no comments. Numbers are correctly rounded. Nesting is bounded and never uses the call stack.
//
// Why not simdjson: its index takes four bytes per byte of text, its errors carry no byte offset, and a text cannot be
// read from the middle, which pose_results uses to read one file with several threads.
//
// Non-goals: writing, small configuration files (nlohmann-json does those), random access.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace posefix::dataset {

class JsonCursor {
 public:
  // Borrows `text`; `file` stands in messages. A UTF-8 byte order mark is stepped over (see had_byte_order_mark());
  // UTF-16 and gzip are refused by name.
  JsonCursor(std::string_view text, std::string file);

  bool had_byte_order_mark() const { return begin_ != text_.data(); }
  size_t offset() const { return static_cast<size_t>(p_ - text_.data()); }
  const std::string& file() const { return file_; }
  std::string_view text() const { return text_; }
  // First character of the next value: one of { [ " t f n - 0-9; Error if it is none of these.
  char peek();
  // Where a value starts and how deep it lies: to go back to it after an Error, or to start in the middle.
  struct Mark {
    size_t offset;
    size_t depth;
  };
  Mark mark() {
    skip_space();
    return {offset(), path_.size()};
  }
  void go_to(const Mark& mark) {
    p_ = text_.data() + mark.offset;
    path_.resize(mark.depth);
  }

  // Calls field(key) for each member; it must read or skip the value. `key` lives until the next call.
  template <typename Field>
  void object(Field&& field);
  // Calls element(index) for each element; it must read or skip it.
  template <typename Element>
  void array(Element&& element);
  // Elements from offset() on, which must stand at an element's first byte, up to the comma at `end` or, if `end` is
  // the size of the text, to the closing bracket and the end of the text.
  template <typename Element>
  void array_part(size_t end, Element&& element);

  double number();
  // An integer, or a number like 1.0 (then *was_float becomes true). Error beyond int64.
  int64_t integer(bool* was_float = nullptr);
  bool boolean();
  std::string string();
  // [number...]; replaces the contents of `values`.
  void numbers(std::vector<double>& values);
  // Steps over any value, checking it, and returns its text.
  std::string_view skip();
  // Nothing but white space may follow.
  void finish();

  // JSON pointer of the value that is being read, such as /annotations/3/bbox; "/" for the whole document.
  std::string pointer() const;
  // "file: /3/keypoints (byte 410): message"; offset = where the value starts.
  Error error(size_t offset, const std::string& message) const;
  // An error about the next value: "expected <what>, got <the value>".
  Error unexpected(const char* expected);

 private:
  static constexpr size_t kDeepest = 1000;
  struct Step {
    std::string_view key;  // borrowed from the text, quotes excluded; empty data() for an index
    size_t index;
  };

  void skip_space() {
    if (p_ == end_ || static_cast<unsigned char>(*p_) <= ' ') skip_spaces();
  }
  void skip_spaces();
  // Skips white space first.
  bool take(char c) {
    skip_space();
    if (p_ == end_ || *p_ != c) return false;
    ++p_;
    return true;
  }
  void expect(char c, const char* what);
  // After '[' or '{' (already taken): whether a member follows; consumes the separator or the closing bracket.
  bool next_member(bool first, char close);
  std::string_view raw_string(bool* has_escapes);  // from the opening quote on
  std::string_view key();
  double slow_number(const char* start);
  void skip_number();
  void skip_literal(std::string_view literal);
  void check_not_a_number();
  [[noreturn]] void syntax_error(size_t offset, const std::string& message) const;
  [[noreturn]] void end_error() const;
  std::string place(size_t offset) const;
  std::string decode(std::string_view raw, size_t offset) const;
  std::string describe_next();

  std::string_view text_;
  std::string file_;
  const char* begin_;  // after the byte order mark
  const char* p_;
  const char* end_;
  std::vector<Step> path_;
  std::vector<char> open_;  // brackets of the value that skip() is in
  std::string_view raw_key_;
  std::string decoded_key_;
};

template <typename Field>
void JsonCursor::object(Field&& field) {
  if (peek() != '{') throw unexpected("an object");
  ++p_;
  path_.push_back({});
  const size_t depth = path_.size();
  for (bool first = true; next_member(first, '}'); first = false) {
    const std::string_view name = key();
    path_.resize(depth);
    path_.back() = {raw_key_, 0};
    field(name);
  }
  path_.resize(depth - 1);
}

template <typename Element>
void JsonCursor::array(Element&& element) {
  if (peek() != '[') throw unexpected("a list");
  ++p_;
  path_.push_back({});
  const size_t depth = path_.size();
  size_t index = 0;
  for (bool first = true; next_member(first, ']'); first = false) {
    path_.resize(depth);
    path_.back() = {{}, index};
    element(index);
    ++index;
  }
  path_.resize(depth - 1);
}

template <typename Element>
void JsonCursor::array_part(size_t end, Element&& element) {
  path_.push_back({});
  const size_t depth = path_.size();
  const bool last = end == text_.size();
  end_ = text_.data() + end;
  for (size_t index = 0;; ++index) {
    path_.resize(depth);
    path_.back() = {{}, index};
    element(index);
    skip_space();
    if (!last && p_ == end_) break;
    if (!next_member(false, ']')) break;
  }
  path_.resize(depth - 1);
  finish();
}

}  // namespace posefix::dataset
