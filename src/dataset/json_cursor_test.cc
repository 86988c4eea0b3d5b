#include "dataset/json_cursor.h"

#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/rng.h"

namespace posefix::dataset {
namespace {

using testing::HasSubstr;

std::string skip_message(const std::string& text) {
  try {
    JsonCursor json(text, "a.json");
    json.skip();
    json.finish();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    return error.what();
  }
  return "accepted";
}

double number_of(const std::string& text) {
  JsonCursor json(text, "a.json");
  const double value = json.number();
  json.finish();
  return value;
}

TEST(JsonCursor, NumbersAreCorrectlyRounded) {
  for (const char* text :
       {"0", "-0", "1", "-12.5", "0.1", "123.456", "9007199254740993", "1e22", "1E-7", "1.7976931348623157e308",
        "5e-324", "0.000000000000000000000000000001", "123456789012345678901234567890", "2.2250738585072011e-308",
        "9007199254740992.5", "0.30000000000000004"}) {
    EXPECT_EQ(number_of(text), std::strtod(text, nullptr)) << text;
  }
  EXPECT_EQ(number_of("1e-400"), 0);
  Rng rng(1, 0, 0);
  for (int i = 0; i < 20000; ++i) {
    const std::string text = fmt::format("{:.{}f}", rng.uniform(-2000, 2000), 1 + i % 18);
    ASSERT_EQ(number_of(text), std::strtod(text.c_str(), nullptr)) << text;
    ASSERT_EQ(number_of(text + std::string(30, ' ')), std::strtod(text.c_str(), nullptr)) << text;
  }
}

// Every mixture of lengths, signs and separators, so that each way of reading a number is taken in turn.
TEST(JsonCursor, ListsOfNumbersAreCorrectlyRounded) {
  const char* separators[] = {",", ", ", ",  ", " ,\n"};
  Rng rng(3, 0, 0);
  for (int i = 0; i < 3000; ++i) {
    const std::string separator = separators[rng.below(4)];
    std::vector<std::string> numbers;
    for (uint32_t n = rng.below(90); n-- > 0;) {
      const double scale = std::pow(10.0, rng.below(10));
      numbers.push_back(rng.below(50) == 0 ? "-2.5e-3"
                                           : fmt::format("{:.{}f}", rng.uniform(-0.2, 1) * scale, rng.below(9)));
    }
    const std::string text = fmt::format("[{}]{:30}", fmt::join(numbers, separator), "");
    std::vector<double> values;
    JsonCursor json(text, "a.json");
    json.numbers(values);
    ASSERT_EQ(values.size(), numbers.size()) << text;
    for (size_t n = 0; n < numbers.size(); ++n) {
      ASSERT_EQ(values[n], std::strtod(numbers[n].c_str(), nullptr)) << text << ": " << n;
    }
    ASSERT_EQ(skip_message(text), "accepted") << text;
  }
}

TEST(JsonCursor, SaysWhatIsNoNumber) {
  const auto message = [](const char* text) {
    try {
      number_of(text);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(message("-Infinity"), HasSubstr("byte 0: expected a finite number, got -Infinity"));
  EXPECT_THAT(message(" NaN"), HasSubstr("byte 1: expected a finite number, got NaN"));
  EXPECT_THAT(message("1e400"), HasSubstr("beyond the range of a double"));
  EXPECT_THAT(message("null"), HasSubstr("expected a number, got null"));
  EXPECT_THAT(message("\"x\""), HasSubstr("got the string \"x\""));
  EXPECT_THAT(message("01"), HasSubstr("must not start with 0"));
  EXPECT_THAT(message("1."), HasSubstr("byte 2"));
  EXPECT_THAT(message("-"), HasSubstr("byte 1"));
  EXPECT_THAT(message("+1"), HasSubstr("'+' where a value should stand"));
}

TEST(JsonCursor, AcceptsExactlyTheGrammar) {
  for (const char* text : {"[]", "{}", " [1, 2 ,3]\r\n", "{\"a\":{\"b\":[true,false,null]}}", "\"\\u00e9\\n\"",
                           "\"\xc3\xa9\"", "-1.5e+3", "[[[]]]"}) {
    EXPECT_EQ(skip_message(text), "accepted") << text;
    EXPECT_TRUE(nlohmann::json::accept(text));
  }
  const std::string deep(20000, '[');
  EXPECT_THAT(skip_message(deep), HasSubstr("nested deeper than"));
  for (const std::string text : {"[1,]",         "{\"a\":1,}", "[1 2]",
                                 "{\"a\" 1}",    "{a:1}",      "['a']",
                                 "[1]x",         "[",          "{\"a\"",
                                 "tru",          "trux",       "[.5]",
                                 "\"\x01\"",     "\"\xff\"",   "\"\xed\xa0\x80\"",
                                 "\"\xc0\x80\"", "\"\\x\"",    "\"\\u12g4\"",
                                 "// a",         "[1]/**/",    "nan",
                                 "\"a",          "[1}",        "-",
                                 "1e",           "00"}) {
    EXPECT_NE(skip_message(text), "accepted") << text;
    EXPECT_FALSE(nlohmann::json::accept(text)) << text;
  }
}

TEST(JsonCursor, MessagesNamePlace) {
  EXPECT_THAT(skip_message("{\"a\": [1, 2,\n]}"), HasSubstr("a.json: not valid JSON at byte 11 (line 1, column 12)"));
  EXPECT_THAT(skip_message("[1]\n[2]"), HasSubstr("byte 4 (line 2, column 1), in /: a second JSON document"));
  EXPECT_THAT(skip_message(""), HasSubstr("empty (0 bytes)"));
  EXPECT_THAT(skip_message("\xff\xfe[\x00"), HasSubstr("UTF-16"));
  EXPECT_THAT(skip_message("\x1f\x8b\x08"), HasSubstr("gzip"));
  EXPECT_EQ(skip_message("\xef\xbb\xbf[]"), "accepted");
  JsonCursor json("{\"a/b\": [{\"k\": [1, \"x\"]}]}", "a.json");
  try {
    json.object([&](std::string_view) {
      json.array([&](size_t) {
        json.object([&](std::string_view) {
          std::vector<double> values;
          json.numbers(values);
        });
      });
    });
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "a.json: /a~1b/0/k/1: byte 19: expected a number, got the string \"x\"");
  }
}

TEST(JsonCursor, IntegersAndStrings) {
  bool was_float = false;
  EXPECT_EQ(JsonCursor("-9223372036854775808", "a").integer(), INT64_MIN);
  EXPECT_EQ(JsonCursor("12.0", "a").integer(&was_float), 12);
  EXPECT_TRUE(was_float);
  EXPECT_THROW(JsonCursor("12.5", "a").integer(), Error);
  EXPECT_THROW(JsonCursor("9223372036854775808", "a").integer(), Error);
  EXPECT_THROW(JsonCursor("\"1\"", "a").integer(), Error);
  EXPECT_EQ(JsonCursor("\"\\ud83d\\ude00\\\"\\/\\t\"", "a").string(), "\xf0\x9f\x98\x80\"/\t");
  EXPECT_THROW(JsonCursor("\"\\ud83d\"", "a").string(), Error);
}

// Wherever a list of numbers is cut off, the end is noticed and nothing beyond it is read.
TEST(JsonCursor, NoticesTheEndInsideAListOfNumbers) {
  const std::string text = "[1.5, -22.25, 3e1, 0.125, 7777777, 123456789.5         ,  5]";
  for (size_t length = 1; length < text.size(); ++length) {
    const std::vector<char> cut(text.begin(), text.begin() + static_cast<ptrdiff_t>(length));
    JsonCursor json(std::string_view(cut.data(), cut.size()), "a");
    std::vector<double> values;
    EXPECT_THROW(json.numbers(values), Error) << length;
  }
  JsonCursor json(text, "a");
  std::vector<double> values;
  json.numbers(values);
  EXPECT_EQ(values, (std::vector<double>{1.5, -22.25, 30, 0.125, 7777777, 123456789.5, 5}));
}

TEST(JsonCursor, GoesBackAfterAnError) {
  JsonCursor json("[1, \"x\", 3]", "a");
  std::vector<double> seen;
  json.array([&](size_t) {
    const JsonCursor::Mark start = json.mark();
    try {
      seen.push_back(json.number());
    } catch (const Error&) {
      json.go_to(start);
      json.skip();
    }
  });
  EXPECT_EQ(seen, (std::vector<double>{1, 3}));
}

// Random bytes and random cuts and flips of a valid document: an Error or acceptance as by another parser, no crash.
TEST(JsonCursor, AgreesWithAnotherParserOnDamagedText) {
  // The other parser also refuses numbers beyond double, which is no matter of grammar: exponents stay small.
  const std::string good =
      R"([{"image_id": 7, "k": [1.5, -2.5e0, 0.25], "l": [1.5, 0, 0.25, -0.5, 7], "s": "a\u00e9\"", "n": null, "b": true}, {}, [[]], ""])";
  Rng rng(2, 0, 0);
  for (int i = 0; i < 20000; ++i) {
    std::string text = good;
    const uint32_t edits = 1 + rng.below(3);
    for (uint32_t e = 0; e < edits; ++e) {
      const uint32_t at = rng.below(static_cast<uint32_t>(text.size()));
      switch (rng.below(3)) {
        case 0:
          text[at] = static_cast<char>(rng.below(256));
          break;
        case 1:
          text.erase(at, 1 + rng.below(4));
          break;
        default:
          text.insert(at, 1, "[]{},:\"0-.e\\ n"[rng.below(14)]);
      }
      if (text.empty()) text.push_back(' ');
    }
    ASSERT_EQ(skip_message(text) == "accepted", nlohmann::json::accept(text)) << text << "\n" << skip_message(text);
  }
}

}  // namespace
}  // namespace posefix::dataset
