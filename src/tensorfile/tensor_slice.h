// What both TensorFlow checkpoint formats share: types, shapes, slices of partitioned variables and the keys that
// name their records.
//
// A slice gives for every dimension a half-open range. Its record's key is the order-preserving encoding of
// (0, tensor name, rank, start and length of every dimension), which begins with a zero byte and so never equals a
// name; a full dimension has length -1.
// Source: tensorflow/core/util/saved_tensor_slice_util.cc, tensorflow/core/lib/strings/ordered_code.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor.h"
#include "tensorfile/wire.h"

namespace posefix::tensorfile {

// TensorFlow's DataType numbers. Quantised, resource and variant types have no place in a model's weights.
std::optional<DType> dtype_from_tensorflow(int64_t number);
int64_t dtype_to_tensorflow(DType dtype);

inline constexpr size_t kMaxRank = 254;  // TensorFlow's own limit
inline constexpr int64_t kFullExtent = -1;

struct SliceExtent {
  int64_t start = 0;
  int64_t length = kFullExtent;
  auto operator<=>(const SliceExtent&) const = default;
};
using TensorSlice = std::vector<SliceExtent>;  // one a dimension

// TensorShapeProto. Throws WireError if it does not parse; dimensions may be anything (see sized()).
Shape parse_shape(std::string_view proto);
std::string encode_shape(const Shape& shape);
// What is wrong with a shape as the shape of a tensor of `dtype`, "" if nothing: negative, or too large for 64 bits.
std::string shape_problem(const Shape& shape, DType dtype);

// TensorSliceProto.
TensorSlice parse_slice(std::string_view proto);
std::string encode_slice(const TensorSlice& slice);
TensorSlice full_slice(size_t rank);
bool is_full(const TensorSlice& slice);
// The slice with full dimensions written out; nothing if it does not lie within `shape`.
std::optional<TensorSlice> resolve(const TensorSlice& slice, const Shape& shape);
Shape shape_of(const TensorSlice& resolved);
// "[0:3, 2:5]"
std::string to_string(const TensorSlice& slice);

std::string slice_key(std::string_view name, const TensorSlice& slice);
// The tensor's name in such a key, nothing if the key is none.
std::optional<std::string> name_in_slice_key(std::string_view key);

// Collects the slices of a partitioned tensor. Every element must be covered exactly once.
class SliceAssembler {
 public:
  // `shape` must be free of problems. Allocates only when the first slice is added.
  SliceAssembler(DType dtype, Shape shape);
  // Returns what is wrong, "" if nothing. `bytes`: the slice, row-major. Strings cannot be partitioned.
  std::string add(const TensorSlice& resolved, std::span<const std::byte> bytes);
  // Empty unless every element is covered.
  std::string finish(Tensor& tensor);

 private:
  DType dtype_;
  Shape shape_;
  Tensor tensor_;
  std::vector<bool> covered_;
};

}  // namespace posefix::tensorfile
