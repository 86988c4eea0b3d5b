// safetensors files.
//
//   offset 0   u64 little-endian N, length of the header
//   offset 8   N bytes of JSON: {"NAME": {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}, ...,
//                                "__metadata__": {"key": "text", ...}}, padded with spaces
//   offset 8+N the data; offsets are relative to here, tensors lie without gaps or overlap
//
// A large model may be split: "NAME.safetensors.index.json" holds {"metadata": {...}, "weight_map": {"TENSOR":
// "FILE", ...}}, the files lie beside it.
//
// A file whose metadata has kChecksumKey carries its own checksum there: the CRC-32C of all its bytes with zeros in
// place of the checksum's eight hexadecimal digits. Other readers see one more piece of metadata.
//
// Invariants: no length or offset of a file is trusted; what is read is borrowed from the mapped file (a tensor that
// lies misaligned for its type is copied). Non-goals: 8-bit and smaller floats, strings.
// Specification: the safetensors format description (huggingface.co/docs/safetensors).
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/tensor.h"

namespace posefix::tensorfile {

inline constexpr const char* kChecksumKey = "posefix.crc32c";

struct SafeTensors {
  NamedTensors tensors;                         // borrow the mapped file
  std::map<std::string, std::string> metadata;  // "__metadata__"
};

// Maps the file; bytes are touched when a tensor is read, or all of them at once in a file with a checksum. A path that
// ends in ".json" is a split model's index. Error (bad input) names the file, the tensor and the byte offset, or says
// that the checksum differs.
SafeTensors read_safetensors(const std::filesystem::path& path);

// The same from memory. `name` stands for the file in messages; `owner` keeps `bytes` alive.
SafeTensors parse_safetensors(std::span<const std::byte> bytes, const std::string& name,
                              const std::shared_ptr<const void>& owner);

// Deterministic bytes (names and metadata in order, wider types first so that every tensor is aligned for its type,
// header padded so that the data is 64-byte aligned); atomic and synced. If `metadata` has kChecksumKey, its value is
// replaced by the checksum. Error (bad input) for strings, complex128
// and names that are not UTF-8, which the format cannot hold.
void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace posefix::tensorfile
