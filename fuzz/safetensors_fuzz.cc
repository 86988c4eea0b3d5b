// A safetensors file from arbitrary bytes: read or refused, nothing else.
#include <memory>
#include <string>

#include "base/error.h"
#include "memory_bound.h"
#include "tensorfile/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const posefix::fuzz::MemoryBound bound(size);
  const auto owner = std::make_shared<std::string>(reinterpret_cast<const char*>(data), size);
  try {
    posefix::tensorfile::parse_safetensors(std::as_bytes(std::span(owner->data(), owner->size())), "input", owner);
  } catch (const posefix::Error&) {
  }
  return 0;
}
