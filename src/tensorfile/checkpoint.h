// TensorFlow checkpoints, V1 and V2, read and written; and one door to every file that holds weights by name.
//
//   V1   one file: a table (see table.h) whose record "" is SavedTensorSlices{1: meta{1: tensor{1 name, 2 shape, 3
//   type,
//        4 slice...}..., 2 versions}} and whose other records, one a slice, are SavedTensorSlices{2: data{1 name,
//        2 slice, 3: TensorProto}}; values lie in TensorProto's typed fields, type and shape only in the meta record
//   V2   PREFIX.index: a table whose record "" is BundleHeaderProto{1 shards, 2 endianness, 3 version} and whose record
//        NAME is BundleEntryProto{1 type, 2 shape, 3 shard, 4 offset, 5 size, 6 masked crc32c, 7 slice...};
//        PREFIX.data-SSSSS-of-NNNNN: raw little-endian values, strings as lengths (varint64), their masked checksum
//        (over the lengths as u32), then the bytes. A partitioned variable's entry has slices and no data; each slice
//        has an entry of its own under its slice key
//
// Invariants: nothing read from a file is trusted; checksums are always checked; a damaged tensor does not hide the
// others; memory stays within a small multiple of the files' size. Non-goals: .meta graphs, object-based checkpoints'
// dependency graph (their tensors are read like any other), quantised, resource and variant types, big-endian files.
// Source: tensorflow/core/util/tensor_bundle, tensor_slice_reader.cc, protobuf/tensor_bundle.proto.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor.h"

namespace posefix::tensorfile {

enum class CheckpointFormat { kTensorFlowV1, kTensorFlowV2, kSafeTensors };
std::string_view format_name(CheckpointFormat format);

struct CheckpointTensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  uint64_t bytes = 0;   // as stored
  std::string file;     // where the values lie
  int64_t offset = -1;  // in `file`; V1: of the block; -1 unknown
  int slices = 0;       // of a partitioned variable
  std::string problem;  // what is wrong, with byte offset; "": sound
  Tensor value;         // empty if there is a problem; may borrow the mapped file
};

struct Checkpoint {
  CheckpointFormat format = CheckpointFormat::kTensorFlowV2;
  std::string source;                           // the path that messages name
  std::vector<CheckpointTensor> tensors;        // by name
  std::vector<std::string> notes;               // odd but harmless: bytes that belong to no tensor, surplus records
  std::map<std::string, std::string> metadata;  // safetensors
};

// Opens a V2 prefix (or one of its files, or a folder with a `checkpoint` file), a V1 file or a safetensors file,
// recognised by content. Problems of single tensors are recorded. Error (bad input), with file and byte offset, if
// the names cannot be known.
Checkpoint open_checkpoint(const std::filesystem::path& path);
Checkpoint open_checkpoint_v1(const std::filesystem::path& file);
Checkpoint open_checkpoint_v2(const std::filesystem::path& prefix);

// V1 from memory (fuzzing): nothing is borrowed by the result.
Checkpoint parse_checkpoint_v1(std::span<const std::byte> bytes, const std::string& name);

// Error (bad input) naming the damaged tensors of `checkpoint`, the one that lies first in detail; else nothing.
void check_sound(const Checkpoint& checkpoint);

// Whether `path` means a TensorFlow V2 checkpoint: its prefix, one of its files, TensorFlow's file `checkpoint`, or a
// folder with such files.
bool names_checkpoint_v2(const std::filesystem::path& path);

// All tensors; open_checkpoint() and check_sound().
NamedTensors read_checkpoint(const std::filesystem::path& path);

// One file, written beside and renamed. V1 as TensorFlow writes it cannot hold f16, bf16, u16, u32, u64 and complex
// values: Error (bad input) names the tensor.
void write_checkpoint_v1(const std::filesystem::path& file, const NamedTensors& tensors);
// PREFIX.data-00000-of-00001, then PREFIX.index, each written beside and renamed.
void write_checkpoint_v2(const std::filesystem::path& prefix, const NamedTensors& tensors);

// PREFIX.data-00002-of-00003
std::filesystem::path shard_path(const std::filesystem::path& prefix, int64_t shard, int64_t shards);

}  // namespace posefix::tensorfile
