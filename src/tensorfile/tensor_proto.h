// The values of a TensorFlow TensorProto: typed repeated fields (float_val, int_val, ...) or raw tensor_content.
// Source: tensorflow/core/framework/tensor.proto.
#pragma once

#include <string>
#include <string_view>

#include "base/tensor.h"

namespace posefix::tensorfile {

// The values as a tensor of the given type and shape (the proto's own type and shape are not read). What is wrong goes
// to `problem` ("" if nothing): too few or too many values, a ragged packed field. Nothing is allocated before the
// number of values is known to fit. Throws WireError if the message does not parse.
Tensor parse_tensor_values(std::string_view proto, DType dtype, const Shape& shape, std::string& problem);

// TensorProto with the values in typed fields, as a V1 checkpoint holds them.
std::string encode_tensor_values(const Tensor& tensor);

}  // namespace posefix::tensorfile
