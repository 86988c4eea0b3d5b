// A V1 checkpoint from arbitrary bytes: read or refused, nothing else.
#include <string>

#include "base/error.h"
#include "memory_bound.h"
#include "table_checksums.h"
#include "tensorfile/checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const posefix::fuzz::MemoryBound bound(size);
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    posefix::tensorfile::check_sound(posefix::tensorfile::parse_checkpoint_v1(bytes, "input"));
  } catch (const posefix::Error&) {
  }
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  const size_t mutated = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 8 != 0) posefix::fuzz::repair_table(std::span(data, mutated));
  return mutated;
}
