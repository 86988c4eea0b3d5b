// Element types, shapes, and tensors that own or borrow their bytes.
//
// A Tensor here is storage with a meaning, not arithmetic: what a file holds and what a graph's weights are.
// Bytes are little-endian and row-major (last dimension fastest). No strides, no views.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace posefix {

enum class DType : uint8_t {
  kF32,
  kF64,
  kF16,
  kBF16,
  kI8,
  kI16,
  kI32,
  kI64,
  kU8,
  kU16,
  kU32,
  kU64,
  kBool,
  kComplex64,
  kComplex128,
  kString,  // per element u64 length (little-endian), then the bytes; no fixed element size
};

// Bytes of an element; 0 for kString.
size_t dtype_size(DType dtype);
// Short lower-case name: "f32", "bf16", "i64", "bool", "string".
std::string_view dtype_name(DType dtype);
std::optional<DType> dtype_from_name(std::string_view name);

using Shape = std::vector<int64_t>;

// Product of the dimensions (1 for a scalar). Throws Error if one is negative or the product overflows.
int64_t element_count(const Shape& shape);
// "[7, 7, 3, 64]"
std::string to_string(const Shape& shape);

class Tensor {
 public:
  Tensor() = default;
  // Zero-filled, owned.
  Tensor(DType dtype, Shape shape);
  // Borrows `bytes`, kept alive by `owner` (a mapped file, another tensor's storage).
  Tensor(DType dtype, Shape shape, std::span<const std::byte> bytes, std::shared_ptr<const void> owner);

  static Tensor from_f32(Shape shape, std::span<const float> values);

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t count() const;
  std::span<const std::byte> bytes() const { return bytes_; }

  // Typed view; the dtype must match (PFX_CHECK) and the bytes must be aligned for T.
  template <typename T>
  std::span<const T> as() const;
  std::span<const float> f32() const;
  // Writable bytes; makes an owned copy first if they are borrowed or shared.
  std::span<std::byte> mutable_bytes();
  std::span<float> mutable_f32();
  // A copy converted to f32 from f64, f16 or bf16 (or the tensor itself if it is f32); Error for other types.
  Tensor to_f32() const;

 private:
  DType dtype_ = DType::kF32;
  Shape shape_{0};
  std::shared_ptr<std::vector<std::byte>> owned_;
  std::shared_ptr<const void> owner_;
  std::span<const std::byte> bytes_;
};

// Weights by variable name, in name order.
using NamedTensors = std::map<std::string, Tensor>;

template <typename T>
std::span<const T> Tensor::as() const {
  return {reinterpret_cast<const T*>(bytes_.data()), bytes_.size() / sizeof(T)};
}

float bf16_to_f32(uint16_t bits);
uint16_t f32_to_bf16(float value);  // round to nearest even
float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);  // round to nearest even

}  // namespace posefix
