#include "tensorfile/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/crc32c.h"
#include "base/error.h"
#include "tensorfile/checkpoint.h"
#include "tensorfile/tensor_slice.h"
#include "tensorfile/wire.h"

namespace posefix::tensorfile {
namespace {

using ::testing::HasSubstr;

std::filesystem::path scratch() { return std::filesystem::path(::testing::TempDir()) / "posefix_table_test"; }

std::map<std::string, std::string> many_records() {
  std::map<std::string, std::string> records;
  for (int i = 0; i < 300; ++i) records[fmt::format("block{}/unit_{}", i % 7, i)] = std::string(i, 'v');
  records[""] = "header";
  return records;
}

std::string written(const std::map<std::string, std::string>& records, size_t block_bytes) {
  AtomicFile file(scratch());
  TableWriter writer(file, block_bytes);
  for (const auto& [key, value] : records) writer.add(key, value);
  writer.finish();
  file.commit();
  return read_file(scratch());
}

std::map<std::string, std::string> read(const std::string& bytes) {
  const std::string name = "table";
  Table table(std::as_bytes(std::span(bytes.data(), bytes.size())), name);
  std::map<std::string, std::string> records;
  for (const BlockHandle& block : table.blocks()) {
    table.read_block(block, [&](const TableRecord& r) { records.emplace(r.key, r.value); });
  }
  return records;
}

TEST(Table, RecordsComeBackForAnyBlockSize) {
  for (const size_t block_bytes : {1, 100, 4096, 1 << 20}) {
    EXPECT_EQ(read(written(many_records(), block_bytes)), many_records()) << block_bytes;
  }
  EXPECT_TRUE(read(written({}, 4096)).empty());
}

TEST(Table, EveryFlippedByteIsRefusedOrHarmless) {
  const std::string good = written(many_records(), 1000);
  for (size_t i = 0; i < good.size(); i += 7) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x40);
    try {
      EXPECT_EQ(read(bad), many_records()) << i;  // bytes of the metaindex block and of the footer's padding
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("byte ")) << i;
    }
  }
}

TEST(Table, KeysThatExpandWithoutEndAreRefused) {
  std::string block;
  const std::string key(60000, 'k');
  const auto record = [&](uint64_t shared, std::string_view rest) {
    append_varint(block, shared);
    append_varint(block, rest.size());
    append_varint(block, 0);
    block += rest;
  };
  record(0, key);
  for (int i = 0; i < 200; ++i) record(key.size() + static_cast<size_t>(i), "k");
  append_fixed32(block, 0);
  append_fixed32(block, 1);
  const auto with_trailer = [](std::string bytes) {
    bytes.push_back('\0');
    append_fixed32(bytes, mask_crc32c(crc32c(bytes)));
    return bytes;
  };
  std::string file = with_trailer(block);
  std::string index;
  append_varint(index, 0);
  append_varint(index, 1);
  append_varint(index, 1 + varint_size(block.size()));
  index += 'l';
  append_varint(index, 0);
  append_varint(index, block.size());
  append_fixed32(index, 0);
  append_fixed32(index, 1);
  std::string footer;
  append_varint(footer, 0);
  append_varint(footer, 0);
  append_varint(footer, file.size());
  append_varint(footer, index.size());
  footer.resize(40);
  append_fixed64(footer, 0xdb4775248b80fb57ULL);
  file += with_trailer(index) + footer;
  try {
    read(file);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("expand"));
  }
}

TEST(TensorSlice, KeysKeepTheOrderOfNamesAndExtents) {
  const auto key = [](int64_t start, int64_t length) { return slice_key("a", {{start, length}}); };
  const std::vector<int64_t> starts{0, 1, 63, 64, 8191, 8192, 1 << 20, int64_t{1} << 40, INT64_MAX};
  for (size_t i = 1; i < starts.size(); ++i) EXPECT_LT(key(starts[i - 1], 5), key(starts[i], 5)) << starts[i];
  EXPECT_LT(key(0, kFullExtent), key(0, 0));
  EXPECT_EQ(key(0, kFullExtent), std::string("\0a\0\1\1\1\x80\x7f", 8));
  const std::string odd("n\0\xff/x", 5);
  EXPECT_EQ(name_in_slice_key(slice_key(odd, {{0, 3}})), odd);
  EXPECT_EQ(name_in_slice_key("name"), std::nullopt);
}

TEST(TensorSlice, GapsAndOverlapsAreFound) {
  const Shape shape{4, 2};
  const std::vector<float> rows(8, 1.0F);
  const auto bytes = std::as_bytes(std::span(rows));
  Tensor tensor;
  SliceAssembler gap(DType::kF32, shape);
  EXPECT_EQ(gap.add({{0, 2}, {0, 2}}, bytes.first(16)), "");
  EXPECT_EQ(gap.add({{3, 1}, {0, 2}}, bytes.first(8)), "");
  EXPECT_EQ(gap.finish(tensor), "element [2, 0] is covered by no slice");
  SliceAssembler overlap(DType::kF32, shape);
  EXPECT_EQ(overlap.add({{0, 3}, {0, 2}}, bytes.first(24)), "");
  EXPECT_THAT(overlap.add({{2, 2}, {0, 2}}, bytes.first(16)), HasSubstr("overlaps"));
}

// A V1 checkpoint may name a tensor without elements and no slice of it.
TEST(CheckpointV1, ATensorOfNoSlicesHasNoValues) {
  const auto opened = [](const Shape& shape) {
    std::string meta;
    append_field(meta, 1, std::string_view("empty"));
    append_field(meta, 2, encode_shape(shape));
    append_field(meta, 3, static_cast<uint64_t>(dtype_to_tensorflow(DType::kF32)));
    std::string metas;
    append_field(metas, 1, meta);
    std::string header;
    append_field(header, 1, metas);
    const std::string bytes = written({{"", header}}, 4096);
    return parse_checkpoint_v1(std::as_bytes(std::span(bytes.data(), bytes.size())), "input").tensors.at(0);
  };
  const CheckpointTensor none = opened({0, 3});
  EXPECT_EQ(none.problem, "");
  EXPECT_EQ(none.value.shape(), (Shape{0, 3}));
  EXPECT_THAT(opened({2, 3}).problem, HasSubstr("0 of 6 elements"));
}

}  // namespace
}  // namespace posefix::tensorfile
