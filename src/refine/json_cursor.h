// A strict forward reader over JSON text that knows where it stands.
//
// Results files are rewritten with two values changed, everything else kept byte for byte, and their mistakes are
// reported by byte offset: so values are read in place and hand out the text they were written in. Strict: no comments,
// trailing commas, NaN or Infinity, control characters in strings; nesting beyond kMaxDepth is refused. The text must be
// UTF-8 (the constructor checks) and outlive the cursor. Non-goals: a document tree, writing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace posefix::refine {

class JsonCursor {
 public:
  static constexpr int kMaxDepth = 256;

  // `name` stands for the file in messages. A UTF-8 byte order mark is skipped.
  JsonCursor(std::string_view text, std::string name);

  // Text before messages, e.g. "entry 3: 'bbox'"; set by the caller as it goes.
  void set_place(std::string place) {
    place_ = std::move(place);
    element_ = -1;
  }
  // Adds "[index]" to the place, until the next set_place().
  void set_element(size_t index) { element_ = static_cast<int64_t>(index); }

  // Next character that is no white space, not consumed; '\0' at the end.
  char peek();
  // Consumes `c` if it comes next.
  bool take(char c);
  // Consumes `c` or throws.
  void expect(char c);
  // Offset of the next character that is no white space.
  size_t offset();
  // Offset just past what was consumed last.
  size_t offset_after_value() const { return at_; }

  // Consumes one value. Error (bad input) if it is of another type.
  double number();      // finite
  int64_t integer();    // also when written as 1.0
  std::string string();
  std::string_view any();  // checks its syntax and returns its text

  // Calls on_field(key) with the cursor at the value, which it must consume.
  template <typename F>
  void object(F&& on_field);
  // Calls on_element(index) with the cursor at the value, which it must consume.
  template <typename F>
  void array(F&& on_element);

  // Throws unless only white space is left.
  void end();

  // "NAME: PLACE: at byte N: expected EXPECTED, found FOUND".
  Error expected(std::string_view what);
  // "NAME: PLACE: at byte N: MESSAGE".
  Error wrong(size_t at, std::string_view message) const;

 private:
  void skip_space();
  std::string_view number_text();
  void any_at(int depth);
  char escape(std::string& out);

  std::string_view text_;
  std::string name_;
  std::string place_;
  int64_t element_ = -1;
  size_t at_ = 0;
};

template <typename F>
void JsonCursor::object(F&& on_field) {
  expect('{');
  if (take('}')) return;
  do {
    if (peek() != '"') throw expected("a field's name in double quotes");
    const std::string key = string();
    expect(':');
    on_field(key);
  } while (take(','));
  expect('}');
}

template <typename F>
void JsonCursor::array(F&& on_element) {
  expect('[');
  if (take(']')) return;
  size_t index = 0;
  do {
    on_element(index++);
  } while (take(','));
  expect(']');
}

}  // namespace posefix::refine
