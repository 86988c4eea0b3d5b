// A V2 checkpoint whose index is arbitrary: read or refused, nothing else.
//
// The input is the index, then the data file, then 4 bytes with the data file's length.
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "memory_bound.h"
#include "table_checksums.h"
#include "tensorfile/checkpoint.h"

namespace {

std::filesystem::path folder() {
  static const std::filesystem::path path = [] {
    std::filesystem::path made =
        std::filesystem::temp_directory_path() / ("posefix_fuzz_v2_" + std::to_string(::getpid()));
    std::filesystem::create_directories(made);
    return made;
  }();
  return path;
}

void write(const std::filesystem::path& path, const uint8_t* data, size_t size) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) std::abort();
  std::fwrite(data, 1, size, file);
  std::fclose(file);
}

size_t data_bytes_of(const uint8_t* data, size_t size) {
  uint32_t tail = 0;
  if (size >= 4) std::memcpy(&tail, data + size - 4, 4);
  return size >= 4 && tail <= size - 4 ? tail : 0;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const posefix::fuzz::MemoryBound bound(size);
  const size_t body = size >= 4 ? size - 4 : size;
  const size_t data_bytes = data_bytes_of(data, size);
  write(folder() / "c.index", data, body - data_bytes);
  write(folder() / "c.data-00000-of-00001", data + (body - data_bytes), data_bytes);
  try {
    posefix::tensorfile::check_sound(posefix::tensorfile::open_checkpoint_v2(folder() / "c"));
  } catch (const posefix::Error&) {
  }
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  const size_t mutated = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 8 == 0 || mutated < 4) return mutated;
  posefix::fuzz::repair_table(std::span(data, mutated - 4 - data_bytes_of(data, mutated)));
  return mutated;
}
