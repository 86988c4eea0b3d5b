#include "torchgraph/layout.h"

#include <ATen/ATen.h>

#include <cstring>

#include "base/error.h"

namespace posefix::torchgraph {

at::ScalarType scalar_type(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return at::kFloat;
    case DType::kF64:
      return at::kDouble;
    case DType::kF16:
      return at::kHalf;
    case DType::kBF16:
      return at::kBFloat16;
    default:
      throw bad_input("a network computes in f32, f64, f16 or bf16, not in {}", dtype_name(dtype));
  }
}

at::Tensor to_torch(const Tensor& tensor, DType dtype) {
  const at::ScalarType stored = tensor.dtype() == DType::kU8 ? at::kByte : scalar_type(tensor.dtype());
  at::Tensor copy = at::empty(tensor.shape(), at::TensorOptions().dtype(stored));
  if (!tensor.bytes().empty()) std::memcpy(copy.data_ptr(), tensor.bytes().data(), tensor.bytes().size());
  return copy.to(scalar_type(dtype));
}

Tensor from_torch(const at::Tensor& tensor) {
  const at::Tensor source = tensor.detach().to(at::kCPU).contiguous();
  PFX_CHECK(source.scalar_type() == at::kFloat || source.scalar_type() == at::kDouble);
  Tensor result(source.scalar_type() == at::kFloat ? DType::kF32 : DType::kF64, source.sizes().vec());
  if (source.numel() > 0) std::memcpy(result.mutable_bytes().data(), source.data_ptr(), result.bytes().size());
  return result;
}

at::Tensor filter_to_torch(const at::Tensor& stored) {
  return stored.dim() == 4 ? stored.permute({3, 2, 0, 1}) : stored;
}

at::Tensor filter_from_torch(const at::Tensor& filter) {
  return filter.dim() == 4 ? filter.permute({2, 3, 1, 0}) : filter;
}

at::Tensor feature_map_from_torch(const at::Tensor& value) {
  return value.dim() == 4 ? value.permute({0, 2, 3, 1}) : value;
}

}  // namespace posefix::torchgraph
