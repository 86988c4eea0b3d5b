#include "tensorfile/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/bad_input_message.h"
#include "base/testing/temporary_folder.h"
#include "tensorfile/snapshot.h"

namespace posefix::tensorfile {
namespace {

using ::testing::HasSubstr;

std::filesystem::path scratch(const std::string& name) {
  static const TemporaryFolder folder;
  return folder / name;
}

SafeTensors parse(const std::string& header, size_t data_bytes) {
  auto file = std::make_shared<std::string>(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(file->data(), &length, 8);
  *file += header + std::string(data_bytes, '\1');
  return parse_safetensors(std::as_bytes(std::span(file->data(), file->size())), "file.safetensors", file);
}

std::string refusal(const std::string& header, size_t data_bytes) {
  return bad_input_message([&] { parse(header, data_bytes); });
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

NamedTensors every_type() {
  NamedTensors tensors;
  for (int i = 0; i <= static_cast<int>(DType::kComplex64); ++i) {
    const auto dtype = static_cast<DType>(i);
    Tensor tensor(dtype, {3, 5});
    const std::span<std::byte> bytes = tensor.mutable_bytes();
    for (size_t k = 0; k < bytes.size(); ++k) bytes[k] = static_cast<std::byte>(k * 7 + static_cast<size_t>(i));
    tensors.emplace(std::string(dtype_name(dtype)) + "/\"name\" \xC3\xA9", std::move(tensor));
  }
  tensors.emplace("scalar", Tensor(DType::kI64, {}));
  tensors.emplace("empty", Tensor(DType::kF32, {4, 0, 2}));
  return tensors;
}

TEST(SafeTensors, WhatIsWrittenIsReadBack) {
  const NamedTensors tensors = every_type();
  const std::filesystem::path path = scratch("every_type.safetensors");
  write_safetensors(path, tensors, {{"posefix.config", "a: \"1\"\nb: 2\n"}, {"z", ""}});
  const SafeTensors back = read_safetensors(path);
  EXPECT_EQ(back.metadata.at("posefix.config"), "a: \"1\"\nb: 2\n");
  EXPECT_EQ(back.metadata.size(), 2U);
  ASSERT_EQ(back.tensors.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    SCOPED_TRACE(name);
    const Tensor& read = back.tensors.at(name);
    EXPECT_EQ(read.dtype(), tensor.dtype());
    EXPECT_EQ(read.shape(), tensor.shape());
    EXPECT_TRUE(std::ranges::equal(read.bytes(), tensor.bytes()));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(read.bytes().data()) % std::min<size_t>(8, dtype_size(read.dtype())), 0U);
  }
}

TEST(SafeTensors, BytesAreDeterministicAndDataIsAligned) {
  const std::filesystem::path path = scratch("twice.safetensors");
  write_safetensors(path, every_type(), {{"k", "v"}});
  const std::string first = read_file(path);
  write_safetensors(path, every_type(), {{"k", "v"}});
  EXPECT_EQ(read_file(path), first);
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, first.data(), 8);
  EXPECT_EQ((8 + header_bytes) % 64, 0U);
}

TEST(SafeTensors, EveryTruncationIsRefused) {
  const std::filesystem::path path = scratch("whole.safetensors");
  write_safetensors(path, every_type(), {});
  const std::string whole = read_file(path);
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto part = std::make_shared<std::string>(whole.substr(0, size));
    EXPECT_THROW(parse_safetensors(std::as_bytes(std::span(part->data(), part->size())), "part", part), Error) << size;
  }
}

TEST(SafeTensors, MisalignedDataIsCopied) {
  const SafeTensors file =
      parse("{" + entry("a", "U8", "[1]", "[0,1]") + "," + entry("b", "F32", "[2]", "[1,9]") + "}", 9);
  const Tensor& b = file.tensors.at("b");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(b.bytes().data()) % 4, 0U);
  EXPECT_EQ(b.bytes()[7], std::byte{1});
}

TEST(SafeTensors, RefusalsNameTensorFieldAndByte) {
  const std::string a = entry("a", "F32", "[2]", "[0,8]");
  EXPECT_THAT(refusal("{" + a + "}", 4), HasSubstr("tensor 'a' at byte"));
  EXPECT_THAT(refusal("{" + a + "}", 9), HasSubstr("1 bytes after the last tensor"));
  EXPECT_THAT(refusal("{" + a + "," + entry("b", "F32", "[1]", "[12,16]") + "}", 16), HasSubstr("tensor 'b' begins"));
  EXPECT_THAT(refusal("{" + a + "," + entry("b", "F32", "[1]", "[4,8]") + "}", 8), HasSubstr("begins at byte"));
  EXPECT_THAT(refusal("{" + a + "," + a + "}", 8), HasSubstr("names 'a' twice"));
  EXPECT_THAT(refusal("{" + entry("a", "F4", "[2]", "[0,8]") + "}", 8), HasSubstr("type 'F4' is unknown"));
  EXPECT_THAT(refusal("{" + entry("a", "F32", "[3]", "[0,8]") + "}", 8), HasSubstr("needs 12 bytes"));
  EXPECT_THAT(refusal("{" + entry("a", "F32", "[-2]", "[0,8]") + "}", 8), HasSubstr("'shape' holds a negative"));
  EXPECT_THAT(refusal("{" + entry("a", "F32", "[9223372036854775807,9223372036854775807]", "[0,8]") + "}", 8),
              HasSubstr("overflows"));
  EXPECT_THAT(refusal("{" + entry("a", "F32", "[18446744073709551615]", "[0,8]") + "}", 8), HasSubstr("63 bits"));
  EXPECT_THAT(refusal("{" + entry("a", "F32", "[[2]]", "[0,8]") + "}", 8), HasSubstr("a list"));
  EXPECT_THAT(refusal("{" + entry("a", "F32", "[2]", "[8,0]") + "}", 8), HasSubstr("[begin, end]"));
  EXPECT_THAT(refusal("{" + entry("a", "F32", "[2]", "[0,8,8]") + "}", 8), HasSubstr("more than two"));
  EXPECT_THAT(refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8), HasSubstr("no field 'data_offsets'"));
  EXPECT_THAT(refusal("{\"__metadata__\":{\"k\":1}}", 0), HasSubstr("metadata 'k'"));
  EXPECT_THAT(refusal("[]", 0), HasSubstr("expected an object"));
  EXPECT_THAT(refusal("{\"a\":", 0), HasSubstr("not JSON at byte"));
}

TEST(SafeTensors, ASplitModelIsReadThroughItsIndex) {
  write_safetensors(scratch("m-1.safetensors"), {{"a", Tensor::from_f32({2}, std::vector<float>{1, 2})}}, {{"k", "v"}});
  write_safetensors(scratch("m-2.safetensors"), {{"b", Tensor::from_f32({1}, std::vector<float>{3})}}, {});
  const std::filesystem::path index = scratch("m.safetensors.index.json");
  std::ofstream(index)
      << R"({"metadata":{"total_size":12},"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}})";
  const SafeTensors model = read_safetensors(index);
  EXPECT_EQ(model.tensors.size(), 2U);
  EXPECT_EQ(model.tensors.at("b").f32()[0], 3.0F);
  EXPECT_EQ(model.metadata.at("k"), "v");
  std::ofstream(index) << R"({"weight_map":{"c":"m-1.safetensors"}})";
  EXPECT_THAT(bad_input_message([&] { read_safetensors(index); }),
              HasSubstr("tensor 'c' should be in m-1.safetensors"));
  std::ofstream(index) << R"({"weight_map":{"a":"../m-1.safetensors"}})";
  EXPECT_THAT(bad_input_message([&] { read_safetensors(index); }), HasSubstr("not the name of a file beside"));
}

TEST(SafeTensors, WhatTheFormatCannotHoldIsRefused) {
  const Tensor text(DType::kString, {0});
  EXPECT_THAT(bad_input_message([&] {
                write_safetensors(scratch("no.safetensors"), {{"s", text}}, {});
              }),
              HasSubstr("'s'"));
  EXPECT_FALSE(std::filesystem::exists(scratch("no.safetensors")));
}

TEST(Snapshot, AFlippedByteIsRefused) {
  Snapshot snapshot;
  snapshot.variables.emplace("a/weights", Tensor(DType::kF32, {3, 5}));
  snapshot.metadata["posefix.step"] = "7";
  const std::filesystem::path path = scratch("flipped.safetensors");
  write_snapshot(path, snapshot);
  EXPECT_EQ(read_snapshot(path).metadata, snapshot.metadata);
  const std::string good = read_file(path);
  const size_t key = good.find(kChecksumKey);
  ASSERT_NE(key, std::string::npos);
  for (size_t i = 0; i < good.size(); ++i) {
    // The checksum's own name: nothing else is damaged when that is.
    if (i + 1 >= key && i < key + 18) continue;
    std::string damaged = good;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    write_file_atomically(path, damaged);
    EXPECT_NE(bad_input_message([&] { read_snapshot(path); }), "nothing was thrown") << "byte " << i;
  }
  std::string damaged = good;
  damaged.back() = static_cast<char>(damaged.back() ^ 1);
  write_file_atomically(path, damaged);
  EXPECT_THAT(bad_input_message([&] { read_snapshot(path); }), HasSubstr("older snapshot of the run"));
}

TEST(Snapshot, VariablesAndStateComeBackApart) {
  Snapshot snapshot;
  snapshot.variables.emplace("out/biases", Tensor(DType::kF32, {17}));
  snapshot.state.emplace("optimizer/m/out/biases", Tensor(DType::kF32, {17}));
  snapshot.state.emplace("train/step", Tensor(DType::kI64, {}));
  snapshot.metadata = {{"posefix.config", "model.backbone: resnet50\n"}};
  const std::filesystem::path path = scratch("snapshot.safetensors");
  write_snapshot(path, snapshot);
  const Snapshot back = read_snapshot(path);
  EXPECT_EQ(back.variables.size(), 1U);
  EXPECT_EQ(back.state.size(), 2U);
  EXPECT_EQ(back.config_yaml(), "model.backbone: resnet50\n");
  EXPECT_THAT(bad_input_message([&] { static_cast<void>(back.skeleton_yaml()); }), HasSubstr("posefix.skeleton"));
}

TEST(Snapshot, HalfFiltersAreReadBackAsTheNearestValues) {
  Snapshot snapshot;
  snapshot.variables.emplace("out/weights", Tensor::from_f32({1, 1, 1, 3}, std::vector<float>{0.1F, -65504, 3e-8F}));
  snapshot.variables.emplace("out/biases", Tensor::from_f32({1}, std::vector<float>{0.1F}));
  const NamedTensors all = snapshot.variables;
  const std::filesystem::path path = scratch("half.safetensors");
  for (const auto& [dtype, nearest] :
       {std::pair(DType::kF16, std::vector<float>{0.0999755859375F, -65504, 5.9604645e-8F}),
        std::pair(DType::kBF16, std::vector<float>{0.10009765625F, -65536, 3.0034e-8F})}) {
    snapshot.variables = half_filters(all, dtype);
    write_snapshot(path, snapshot);
    const Snapshot back = read_snapshot(path);
    const Tensor& filter = back.variables.at("out/weights");
    ASSERT_EQ(filter.dtype(), DType::kF32);
    for (size_t i = 0; i < nearest.size(); ++i) EXPECT_NEAR(filter.f32()[i], nearest[i], 1e-4F * std::fabs(nearest[i]));
    EXPECT_EQ(back.variables.at("out/biases").f32()[0], 0.1F) << "vectors stay as they are";
  }
}

TEST(Snapshot, AFilterThatHalfPrecisionCannotHoldIsRefusedByName) {
  const NamedTensors variables{{"a/weights", Tensor::from_f32({1, 1, 1, 1}, std::vector<float>{65520})}};
  EXPECT_THAT(bad_input_message([&] { half_filters(variables, DType::kF16); }), HasSubstr("'a/weights' holds 65520"));
  EXPECT_EQ(half_filters(variables, DType::kBF16).at("a/weights").dtype(), DType::kBF16);
}

}  // namespace
}  // namespace posefix::tensorfile
