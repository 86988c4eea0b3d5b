#include "refine/json_cursor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace posefix::refine {
namespace {

std::string message_of(std::string_view text) {
  try {
    JsonCursor cursor(text, "f.json");
    cursor.any();
    cursor.end();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    return error.what();
  }
  return "";
}

TEST(JsonCursor, AcceptsWhatJsonAllows) {
  for (const char* text : {"[]", "{}", " [1, -2.5e+3,\r\n0.0] ", R"({"a": [true, false, null], "b": "\u00e9\n\"\ud83d\ude00"})",
                           "\xEF\xBB\xBF[1]", "-0", "1E5", "\"\""}) {
    EXPECT_EQ(message_of(text), "") << text;
  }
}

TEST(JsonCursor, RefusesWhatItForbidsAndNamesTheByte) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "byte 0: the file is empty"},
      {"[1,", "byte 3: expected a value, found the end of the file"},
      {"[1,]", "byte 3: expected a value, found `]`"},
      {"[1] x", "byte 4: expected the end of the file, found `x`"},
      {"[NaN]", "byte 1: expected a value, found `NaN]`"},
      {"[-Infinity]", "byte 1: expected a finite number"},
      {"[01]", "leading zeros"},
      {"[1.]", "digits after its point"},
      {"[1e]", "digits in its exponent"},
      {"[.5]", "expected a value"},
      {"{'a': 1}", "byte 1: expected a field's name in double quotes"},
      {"// a\n[]", "byte 0: expected a value"},
      {"[\"a\tb\"]", "byte 3: control character"},
      {"[\"ab", "byte 4: the file ends inside a string"},
      {"[\"\\x\"]", "unknown escape"},
      {"[\"ab\xFF\"]", "byte 4: not UTF-8"},
      {"\x1f\x8b\x08", "byte 1: not UTF-8"},
      {"nul", "expected a value"},
  };
  for (const auto& [text, expected] : cases) EXPECT_THAT(message_of(text), ::testing::HasSubstr(expected)) << text;
}

TEST(JsonCursor, RefusesDeepNestingInsteadOfOverflowingTheStack) {
  EXPECT_THAT(message_of(std::string(20000, '[')), ::testing::HasSubstr("nested more than 256 deep"));
}

TEST(JsonCursor, ReadsTypedValues) {
  JsonCursor cursor(R"( [1.0, -9223372036854775808, 1e-999, "\u0041\u20ac"] )", "f.json");
  cursor.array([&](size_t i) {
    switch (i) {
      case 0: EXPECT_EQ(cursor.integer(), 1); break;
      case 1: EXPECT_EQ(cursor.integer(), INT64_MIN); break;
      case 2: EXPECT_EQ(cursor.number(), 0.0); break;
      default: EXPECT_EQ(cursor.string(), "A\xe2\x82\xac");
    }
  });
  cursor.end();
}

TEST(JsonCursor, NumbersThatDoNotFitAreErrors) {
  EXPECT_THROW(JsonCursor("1e999", "f").number(), Error);
  EXPECT_THROW(JsonCursor("9223372036854775808", "f").integer(), Error);
  EXPECT_THROW(JsonCursor("1.5", "f").integer(), Error);
  EXPECT_THROW(JsonCursor("\"1\"", "f").integer(), Error);
  EXPECT_THROW(JsonCursor("NaN", "f").number(), Error);
}

}  // namespace
}  // namespace posefix::refine
