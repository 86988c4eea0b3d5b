// safetensors files.
//
//   offset 0   u64 little-endian N, length of the header
//   offset 8   N bytes of JSON: {"NAME": {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}, ...,
//                                "__metadata__": {"key": "text", ...}}, padded with spaces
//   offset 8+N the data; offsets are relative to here, tensors lie without gaps or overlap
//
// Specification: the safetensors format description (huggingface.co/docs/safetensors).
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "base/tensor.h"

namespace posefix::tensorfile {

struct SafeTensors {
  NamedTensors tensors;                         // borrow the mapped file
  std::map<std::string, std::string> metadata;  // "__metadata__"
};

// Maps the file; bytes are touched when a tensor is read. Error (bad input) names the file, the tensor and the byte
// offset; no length or offset of the file is trusted.
SafeTensors read_safetensors(const std::filesystem::path& path);

// Deterministic bytes (names and metadata in order, header padded so that data is 64-byte aligned); atomic and synced.
void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace posefix::tensorfile
