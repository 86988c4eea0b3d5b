// An offline model from arbitrary bytes: read or refused, nothing else.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <span>

#include "base/crc32c.h"
#include "base/error.h"
#include "memory_bound.h"
#include "plan/plan_file.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

constexpr size_t kLeastSections = 5;
constexpr size_t kMostSections = 6;

constexpr size_t header_bytes(size_t sections) { return 32 + 32 * sections; }

const std::filesystem::path& scratch() {
  static const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("posefix_fuzz_plan_" + std::to_string(::getpid()));
  return path;
}

template <typename T>
T load(const uint8_t* data, size_t at) {
  T value;
  std::memcpy(&value, data + at, sizeof(value));
  return value;
}

// Makes the size and the checksums right again (see plan_file.h for where they are).
void repair(uint8_t* data, size_t size) {
  if (size < header_bytes(kLeastSections)) return;
  const size_t sections =
      load<uint32_t>(data, 12) == kMostSections && size >= header_bytes(kMostSections) ? kMostSections : kLeastSections;
  const uint64_t file_size = size;
  std::memcpy(data + 16, &file_size, sizeof(file_size));
  for (size_t i = 0; i < sections; ++i) {
    const auto offset = load<uint64_t>(data, 32 + 32 * i + 8);
    const auto bytes = load<uint64_t>(data, 32 + 32 * i + 16);
    if (offset > size || bytes > size - offset) continue;
    const uint32_t crc = posefix::crc32c(std::as_bytes(std::span(data + offset, bytes)));
    std::memcpy(data + 32 + 32 * i + 4, &crc, sizeof(crc));
  }
  std::memset(data + 24, 0, 4);
  const uint32_t crc = posefix::crc32c(std::as_bytes(std::span(data, header_bytes(sections))));
  std::memcpy(data + 24, &crc, sizeof(crc));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const posefix::fuzz::MemoryBound bound(size);
  std::FILE* file = std::fopen(scratch().c_str(), "wb");
  if (file == nullptr) std::abort();
  std::fwrite(data, 1, size, file);
  std::fclose(file);
  try {
    posefix::plan::to_text(*posefix::plan::read_plan(scratch()));
  } catch (const posefix::Error&) {
  }
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  const size_t mutated = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 8 != 0) repair(data, mutated);
  return mutated;
}
