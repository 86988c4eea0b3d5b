// Conversions between stored tensors and LibTorch's, exact in value.
//
// Stored: TensorFlow's layouts, row-major. Feature maps [B,H,W,C]; convolution filters [kh,kw,in,out]; filters of
// transposed convolutions [kh,kw,out,in]. LibTorch: [B,C,H,W]; [out,in,kh,kw]; [in,out,kh,kw].
#pragma once

#include <ATen/core/Tensor.h>

#include "base/tensor.h"

namespace posefix::torchgraph {

at::ScalarType scalar_type(DType dtype);  // Error (bad input) for types that networks do not compute in

// A copy on the CPU with the stored shape, in `dtype`. Error (bad input) for types other than floats and u8.
at::Tensor to_torch(const Tensor& tensor, DType dtype);
// A copy; from any device and memory order, f32 or f64.
Tensor from_torch(const at::Tensor& tensor);

// Filters: [kh,kw,a,b] <-> [b,a,kh,kw] (both kinds of convolution need the same permutation); other ranks unchanged.
// Views, not copies.
at::Tensor filter_to_torch(const at::Tensor& stored);
at::Tensor filter_from_torch(const at::Tensor& filter);

// [B,C,H,W] -> [B,H,W,C] for rank 4, other ranks unchanged. A view.
at::Tensor feature_map_from_torch(const at::Tensor& value);

}  // namespace posefix::torchgraph
