#include "report/event_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <map>

#include "base/crc32c.h"
#include "base/file.h"

namespace posefix::report {
namespace {

// Fields of a protobuf message by number: numbers as they are, messages and strings as bytes.
struct Message {
  std::multimap<uint32_t, uint64_t> numbers;
  std::multimap<uint32_t, std::string> bytes;
};

uint64_t take_varint(std::string_view& text) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<uint8_t>(text.at(0));
    text.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
}

uint64_t take_fixed(std::string_view& text, size_t size) {
  uint64_t value = 0;
  std::memcpy(&value, text.substr(0, size).data(), size);
  text.remove_prefix(size);
  return value;
}

Message parse(std::string_view text) {
  Message message;
  while (!text.empty()) {
    const uint64_t key = take_varint(text);
    const auto field = static_cast<uint32_t>(key >> 3);
    switch (key & 7) {
      case 0:
        message.numbers.emplace(field, take_varint(text));
        break;
      case 1:
        message.numbers.emplace(field, take_fixed(text, 8));
        break;
      case 5:
        message.numbers.emplace(field, take_fixed(text, 4));
        break;
      default: {
        const uint64_t size = take_varint(text);
        message.bytes.emplace(field, text.substr(0, size));
        text.remove_prefix(size);
      }
    }
  }
  return message;
}

std::vector<Message> read_events(const std::filesystem::path& path) {
  const std::string file = read_file(path);
  std::string_view text = file;
  std::vector<Message> events;
  while (!text.empty()) {
    const std::string_view length_bytes = text.substr(0, 8);
    const uint64_t length = take_fixed(text, 8);
    EXPECT_EQ(take_fixed(text, 4), mask_crc32c(crc32c(length_bytes)));
    const std::string_view data = text.substr(0, length);
    text.remove_prefix(length);
    EXPECT_EQ(take_fixed(text, 4), mask_crc32c(crc32c(data)));
    events.push_back(parse(data));
  }
  return events;
}

class EventFileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) / ("event_file_test_" + std::to_string(::getpid()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
};

TEST_F(EventFileTest, RecordsHoldVersionSessionAndScalars) {
  EventFile file(folder_, 300);
  file.add(310, {{"train/loss", 2.5}, {"train/learning_rate", 5e-4}});
  const std::vector<Message> events = read_events(file.path());
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0].bytes.find(3)->second, "brain.Event:2");
  EXPECT_EQ(events[1].numbers.find(2)->second, 300U);
  EXPECT_EQ(parse(events[1].bytes.find(7)->second).numbers.find(1)->second, 1U);
  EXPECT_EQ(events[2].numbers.find(2)->second, 310U);
  double wall_time = 0;
  std::memcpy(&wall_time, &events[2].numbers.find(1)->second, sizeof wall_time);
  EXPECT_GT(wall_time, 1.7e9);
  const Message summary = parse(events[2].bytes.find(5)->second);
  std::map<std::string, float> scalars;
  for (auto [value, end] = summary.bytes.equal_range(1); value != end; ++value) {
    const Message entry = parse(value->second);
    float number = 0;
    std::memcpy(&number, &entry.numbers.find(2)->second, sizeof number);
    scalars[entry.bytes.find(1)->second] = number;
  }
  EXPECT_EQ(scalars, (std::map<std::string, float>{{"train/loss", 2.5F}, {"train/learning_rate", 5e-4F}}));
}

TEST_F(EventFileTest, EveryStartIsAFileOfItsOwn) {
  const EventFile first(folder_, 1);
  const EventFile second(folder_, 1);
  EXPECT_NE(first.path(), second.path());
  EXPECT_TRUE(first.path().filename().string().starts_with("events.out.tfevents."));
}

}  // namespace
}  // namespace posefix::report
