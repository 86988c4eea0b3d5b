// Every file of the checkpoint goldens: sound ones value by value, damaged ones refused by name and byte.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/project_folder.h"
#include "tensorfile/checkpoint.h"
#include "tensorfile/safetensors.h"

namespace posefix::tensorfile {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;
namespace fs = std::filesystem;

fs::path goldens() {
  const char* folder = std::getenv("POSEFIX_GOLDENS");
  return fs::path(folder != nullptr ? folder : posefix::project_folder() / "tests/golden") / "checkpoints";
}

Json parse_json(const fs::path& path) { return Json::parse(read_file(path)); }

// SHA-256 as FIPS 180-4 gives it; the constants are the fractional parts of the cube roots of the first 64 primes.
class Sha256 {
 public:
  static std::string hex(std::span<const std::byte> bytes) {
    Sha256 hash;
    std::string padded(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    padded.push_back('\x80');
    while (padded.size() % 64 != 56) padded.push_back('\0');
    const uint64_t bits = uint64_t{bytes.size()} * 8;
    for (int i = 7; i >= 0; --i) padded.push_back(static_cast<char>(bits >> (8 * i)));
    for (size_t at = 0; at < padded.size(); at += 64) hash.block(padded.data() + at);
    std::string text;
    for (const uint32_t word : hash.state_) text += fmt::format("{:08x}", word);
    return text;
  }

 private:
  static std::array<uint32_t, 64> constants() {
    std::array<uint32_t, 64> k{};
    size_t found = 0;
    for (unsigned n = 2; found < 64; ++n) {
      bool prime = true;
      for (unsigned d = 2; d * d <= n; ++d) prime = prime && n % d != 0;
      if (!prime) continue;
      const long double root = std::cbrt(static_cast<long double>(n));
      k[found++] = static_cast<uint32_t>((root - std::floor(root)) * 4294967296.0L);
    }
    return k;
  }
  void block(const char* data) {
    static const std::array<uint32_t, 64> k = constants();
    std::array<uint32_t, 64> w{};
    for (size_t i = 0; i < 16; ++i) {
      for (size_t b = 0; b < 4; ++b) w[i] = (w[i] << 8) | static_cast<uint8_t>(data[4 * i + b]);
    }
    for (size_t i = 16; i < 64; ++i) {
      const uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
      const uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    auto [a, b, c, d, e, f, g, h] = state_;
    for (size_t i = 0; i < 64; ++i) {
      const uint32_t t1 =
          h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g)) + k[i] + w[i];
      const uint32_t t2 = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    const std::array<uint32_t, 8> add{a, b, c, d, e, f, g, h};
    for (size_t i = 0; i < 8; ++i) state_[i] += add[i];
  }
  std::array<uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
};

std::string numpy_name(DType dtype) {
  const std::string name(dtype_name(dtype));
  if (name == "bool" || name == "string" || name.starts_with("complex")) return name;
  if (name == "bf16") return "bfloat16";
  if (name[0] == 'f') return "float" + name.substr(1);
  return (name[0] == 'u' ? "uint" : "int") + name.substr(1);
}

void expect_tensors(const NamedTensors& tensors, const Json& expected) {
  ASSERT_EQ(tensors.size(), expected.size());
  for (const Json& row : expected) {
    const auto name = row.at("name").get<std::string>();
    SCOPED_TRACE(name);
    const auto found = tensors.find(name);
    ASSERT_NE(found, tensors.end());
    EXPECT_EQ(numpy_name(found->second.dtype()), row.at("dtype").get<std::string>());
    EXPECT_EQ(found->second.shape(), row.at("shape").get<Shape>());
    EXPECT_EQ(Sha256::hex(found->second.bytes()), row.at("sha256").get<std::string>());
  }
}

// Cases whose files are all in this set; the project's own copy leaves out the largest.
std::vector<std::pair<std::string, Json>> sound_cases() {
  std::vector<std::pair<std::string, Json>> cases;
  const Json all = parse_json(goldens() / "expected.json");
  for (const auto& [name, expected] : all.items()) cases.emplace_back(name, expected);
  return cases;
}

TEST(CheckpointGolden, Sha256) {
  EXPECT_EQ(Sha256::hex({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(CheckpointGolden, SoundFilesValueByValue) {
  const auto cases = sound_cases();
  ASSERT_FALSE(cases.empty());
  for (const auto& [name, expected] : cases) {
    SCOPED_TRACE(name);
    const fs::path path = goldens() / expected.at("open").get<std::string>();
    const Checkpoint checkpoint = open_checkpoint(path);
    EXPECT_EQ(checkpoint.format == CheckpointFormat::kTensorFlowV1, expected.at("format") == "V1");
    EXPECT_TRUE(checkpoint.notes.empty());
    expect_tensors(read_checkpoint(path), expected.at("tensors"));
  }
}

TEST(CheckpointGolden, WhatWasReadIsWrittenAndReadBack) {
  // Left there: the peer tests let TensorFlow read them.
  const fs::path folder = fs::path(::testing::TempDir()) / "posefix_checkpoint_golden";
  fs::create_directories(folder);
  const auto cases = sound_cases();
  ASSERT_FALSE(cases.empty());
  for (const auto& [name, expected] : cases) {
    SCOPED_TRACE(name);
    const NamedTensors tensors = read_checkpoint(goldens() / expected.at("open").get<std::string>());
    write_checkpoint_v2(folder / (name + ".v2"), tensors);
    expect_tensors(read_checkpoint(folder / (name + ".v2")), expected.at("tensors"));
    if (expected.at("format") != "V1") continue;
    write_checkpoint_v1(folder / (name + ".v1"), tensors);
    expect_tensors(read_checkpoint(folder / (name + ".v1")), expected.at("tensors"));
  }
}

std::string refusal(const fs::path& path) {
  try {
    read_checkpoint(path);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput);
    return error.what();
  }
  return "nothing was thrown";
}

TEST(CheckpointGolden, DamagedFilesAreRefusedByNameAndByte) {
  const fs::path folder = goldens() / "corrupt";
  const Json manifest = parse_json(folder / "manifest.json").at("cases");
  ASSERT_FALSE(manifest.empty());
  for (const Json& row : manifest) {
    SCOPED_TRACE(row.at("case").get<std::string>() + ": " + row.at("problem").get<std::string>());
    const fs::path path = folder / row.at("open").get<std::string>();
    if (row.at("severity") == "none") {
      EXPECT_NO_THROW({
        const Checkpoint checkpoint = open_checkpoint(path);
        check_sound(checkpoint);
        EXPECT_EQ(checkpoint.notes.size(), 1U);
      });
      continue;
    }
    const std::string message = refusal(path);
    EXPECT_THAT(message, HasSubstr(row.at("open").get<std::string>()));
    if (row.at("tensor").is_string()) {
      EXPECT_THAT(message, HasSubstr("'" + row.at("tensor").get<std::string>() + "'"));
    }
    if (row.at("byte_offset").is_number()) {
      EXPECT_THAT(message, HasSubstr("byte " + std::to_string(row.at("byte_offset").get<int64_t>())));
    }
  }
}

// A damaged tensor, unlike damaged names, must not hide the others.
TEST(CheckpointGolden, DamagedTensorsDoNotHideTheOthers) {
  const fs::path folder = goldens() / "corrupt";
  size_t listed = 0;
  const Json manifest = parse_json(folder / "manifest.json").at("cases");
  for (const Json& row : manifest) {
    SCOPED_TRACE(row.at("case").get<std::string>());
    if (row.at("severity") == "none" || !row.at("tensor").is_string()) continue;
    Checkpoint checkpoint;
    try {
      checkpoint = open_checkpoint(folder / row.at("open").get<std::string>());
    } catch (const Error&) {
      continue;  // the order or the number of the names is damaged
    }
    ++listed;
    bool found = false;
    for (const CheckpointTensor& tensor : checkpoint.tensors) {
      found = found || (tensor.name == row.at("tensor") && !tensor.problem.empty());
    }
    EXPECT_TRUE(found);
  }
  EXPECT_GT(listed, 0U);
}

}  // namespace
}  // namespace posefix::tensorfile
