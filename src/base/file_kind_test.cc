#include "base/file_kind.h"

#include <gtest/gtest.h>

#include <string>

namespace posefix {
namespace {

std::string kind_of(const std::string& bytes) { return std::string(file_kind(std::as_bytes(std::span(bytes)))); }

TEST(FileKind, IsToldByTheFirstBytes) {
  EXPECT_EQ(kind_of(""), "an empty file");
  EXPECT_EQ(kind_of("\xFF\xD8\xFF\xE0..JFIF"), "a JPEG picture");
  EXPECT_EQ(kind_of("\x89PNG\r\n\x1A\n"), "a PNG picture");
  EXPECT_EQ(kind_of("\177ELF\x02\x01"), "a program or library (ELF)");
  EXPECT_EQ(kind_of("PK\x03\x04").substr(0, 13), "a ZIP archive");
  EXPECT_EQ(kind_of("{\"images\": []}"), "JSON text");
  EXPECT_EQ(kind_of("model.width: 1\n"), "a text");
}

TEST(FileKind, ModelsAreNoneOfThem) {
  using namespace std::string_literals;
  EXPECT_EQ(kind_of("\x40\0\0\0\0\0\0\0{\"a\":"s), "") << "safetensors";
  EXPECT_EQ(kind_of("\x0A\x1C\x0A\x0BPlaceholder\x12"s), "") << "GraphDef";
  EXPECT_EQ(kind_of("\x08\x08\x12\x07pytorch"s), "") << "ONNX";
}

}  // namespace
}  // namespace posefix
