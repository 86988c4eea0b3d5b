#include "base/tensor.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/error.h"

namespace posefix {
namespace {

struct DTypeRow {
  DType dtype;
  std::string_view name;
  size_t size;
};

constexpr std::array<DTypeRow, 16> kDTypes{{{DType::kF32, "f32", 4},
                                            {DType::kF64, "f64", 8},
                                            {DType::kF16, "f16", 2},
                                            {DType::kBF16, "bf16", 2},
                                            {DType::kI8, "i8", 1},
                                            {DType::kI16, "i16", 2},
                                            {DType::kI32, "i32", 4},
                                            {DType::kI64, "i64", 8},
                                            {DType::kU8, "u8", 1},
                                            {DType::kU16, "u16", 2},
                                            {DType::kU32, "u32", 4},
                                            {DType::kU64, "u64", 8},
                                            {DType::kBool, "bool", 1},
                                            {DType::kComplex64, "complex64", 8},
                                            {DType::kComplex128, "complex128", 16},
                                            {DType::kString, "string", 0}}};

}  // namespace

size_t dtype_size(DType dtype) { return kDTypes.at(static_cast<size_t>(dtype)).size; }
std::string_view dtype_name(DType dtype) { return kDTypes.at(static_cast<size_t>(dtype)).name; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const DTypeRow& row : kDTypes) {
    if (row.name == name) return row.dtype;
  }
  return std::nullopt;
}

int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  for (int64_t dim : shape) {
    if (dim < 0 || __builtin_mul_overflow(count, dim, &count)) {
      throw bad_input("shape {} has a negative dimension or more elements than fit in 64 bits", to_string(shape));
    }
  }
  return count;
}

std::string to_string(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

Tensor::Tensor(DType dtype, Shape shape) : dtype_(dtype), shape_(std::move(shape)) {
  const int64_t count_bytes = element_count(shape_) * static_cast<int64_t>(dtype_size(dtype_));
  owned_ = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(count_bytes));
  bytes_ = *owned_;
}

Tensor::Tensor(DType dtype, Shape shape, std::span<const std::byte> bytes, std::shared_ptr<const void> owner)
    : dtype_(dtype), shape_(std::move(shape)), owner_(std::move(owner)), bytes_(bytes) {
  PFX_CHECK(dtype_ == DType::kString ||
            bytes.size() == static_cast<size_t>(element_count(shape_)) * dtype_size(dtype_));
}

Tensor Tensor::from_f32(Shape shape, std::span<const float> values) {
  Tensor tensor(DType::kF32, std::move(shape));
  PFX_CHECK(values.size_bytes() == tensor.bytes().size());
  if (!values.empty()) std::memcpy(tensor.owned_->data(), values.data(), values.size_bytes());
  return tensor;
}

int64_t Tensor::count() const { return element_count(shape_); }

std::span<const float> Tensor::f32() const {
  PFX_CHECK(dtype_ == DType::kF32);
  return as<float>();
}

std::span<std::byte> Tensor::mutable_bytes() {
  if (!owned_ || owned_.use_count() > 1) {
    owned_ = std::make_shared<std::vector<std::byte>>(bytes_.begin(), bytes_.end());
    owner_.reset();
    bytes_ = *owned_;
  }
  return *owned_;
}

std::span<float> Tensor::mutable_f32() {
  PFX_CHECK(dtype_ == DType::kF32);
  const std::span<std::byte> bytes = mutable_bytes();
  return {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)};
}

Tensor Tensor::to_f32() const {
  if (dtype_ == DType::kF32) return *this;
  Tensor result(DType::kF32, shape_);
  const std::span<float> out = result.mutable_f32();
  switch (dtype_) {
    case DType::kF64: {
      const auto in = as<double>();
      for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(in[i]);
      return result;
    }
    case DType::kF16: {
      const auto in = as<uint16_t>();
      for (size_t i = 0; i < out.size(); ++i) out[i] = f16_to_f32(in[i]);
      return result;
    }
    case DType::kBF16: {
      const auto in = as<uint16_t>();
      for (size_t i = 0; i < out.size(); ++i) out[i] = bf16_to_f32(in[i]);
      return result;
    }
    default:
      throw bad_input("cannot use {} values as f32", dtype_name(dtype_));
  }
}

float bf16_to_f32(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

float f16_to_f32(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1F;
  const uint32_t mantissa = bits & 0x3FF;
  if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000 | (mantissa << 13));
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  if (std::isnan(value)) return static_cast<uint16_t>(sign | 0x7E00);
  const float magnitude = std::fabs(value);
  if (magnitude >= 65520.0F) return static_cast<uint16_t>(sign | 0x7C00);
  if (magnitude < 0x1p-14F) {  // subnormal: multiples of 2^-24, rounded to nearest even by the FPU
    return static_cast<uint16_t>(sign | static_cast<uint16_t>(std::nearbyint(magnitude * 0x1p24F)));
  }
  const uint32_t rest = bits & 0x7FFFFFFF;
  const uint32_t rounded = rest + 0xFFF + ((rest >> 13) & 1) - (112U << 23);
  return static_cast<uint16_t>(sign | (rounded >> 13));
}

}  // namespace posefix
