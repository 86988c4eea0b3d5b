#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace posefix {
namespace {

TEST(Crc32c, KnownValues) {  // RFC 3720, appendix B.4
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43U);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283U);
}

TEST(Crc32c, InstructionAndPlainCodeAgreeAtEveryLengthAndSplit) {
  std::string text;
  for (int i = 0; i < 70; ++i) text.push_back(static_cast<char>(i * 37));
  for (uint32_t i = 0; i < 200000; ++i) text.push_back(static_cast<char>(i * 2654435761U >> 24));
  std::vector<size_t> sizes{98303, 98304, 98305, 196608, text.size()};  // about the multiples of the three stripes
  for (size_t size = 0; size <= 70; ++size) sizes.push_back(size);
  for (const size_t size : sizes) {
    const auto bytes = std::as_bytes(std::span(text.data(), size));
    const uint32_t whole = crc32c(bytes);
    EXPECT_EQ(whole, crc32c_portable(bytes)) << size;
    EXPECT_EQ(whole, crc32c(bytes.subspan(size / 3), crc32c(bytes.first(size / 3)))) << size;
  }
}

}  // namespace
}  // namespace posefix
