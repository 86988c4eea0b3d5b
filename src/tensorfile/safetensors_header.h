// The JSON header of a safetensors file: parsed event by event, so that a hostile header costs no more memory than
// its entries, and written.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor.h"

namespace posefix::tensorfile {

struct SafeTensorsEntry {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  uint64_t begin = 0;  // relative to the data
  uint64_t end = 0;
};

struct SafeTensorsHeader {
  std::vector<SafeTensorsEntry> entries;  // in file order
  std::map<std::string, std::string> metadata;
};

// Entries are complete, their sizes agree with type and shape; where they lie is not checked. Error (bad input) names
// `file`, tensor and field; byte offsets count from the file's start.
SafeTensorsHeader parse_safetensors_header(std::string_view json, const std::string& file);

// The specification's name of a type ("BF16"), "" for a type that the format does not have.
std::string_view safetensors_dtype(DType dtype);

}  // namespace posefix::tensorfile
