#include "tensorfile/tensor_proto.h"

#include <fmt/format.h>

#include <cstring>
#include <vector>

#include "base/error.h"
#include "tensorfile/wire.h"

namespace posefix::tensorfile {
namespace {

constexpr uint32_t kTensorContent = 4;
constexpr uint32_t kStringVal = 8;

// Where a type's values lie and how: as varints or as fixed bytes.
struct Layout {
  uint32_t field;
  size_t fixed_bytes;  // 0: varints; complex values are two numbers
};

Layout layout_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return {5, 4};
    case DType::kF64:
      return {6, 8};
    case DType::kComplex64:
      return {9, 4};
    case DType::kComplex128:
      return {12, 8};
    case DType::kI64:
      return {10, 0};
    case DType::kBool:
      return {11, 0};
    case DType::kF16:
    case DType::kBF16:
      return {13, 0};
    case DType::kU32:
      return {16, 0};
    case DType::kU64:
      return {17, 0};
    case DType::kString:
      return {kStringVal, 0};
    default:
      return {7, 0};  // int_val: i8, i16, i32, u8, u16
  }
}

size_t varints_in(std::string_view packed) {
  size_t count = 0;
  for (const char c : packed) count += static_cast<uint8_t>(c) < 0x80 ? 1 : 0;
  return count;
}

// Visits the chunks of the type's field: a packed run, or one value of an unpacked one.
template <typename Packed, typename Single>
void for_each_chunk(std::string_view proto, const Layout& layout, const Packed& packed, const Single& single) {
  WireMessage message(proto);
  WireField field;
  while (message.next(field)) {
    if (field.number != layout.field) continue;
    if (field.type == WireType::kBytes) {
      packed(field.bytes);
    } else {
      single(field.value);
    }
  }
}

std::string_view content_of(std::string_view proto) {
  std::string_view content;
  WireMessage message(proto);
  WireField field;
  while (message.next(field)) {
    if (field.number == kTensorContent) content = field.text();
  }
  return content;
}

Tensor parse_strings(std::string_view proto, const Shape& shape, std::string& problem) {
  uint64_t count = 0;
  uint64_t bytes = 0;
  const auto for_each_string = [&](const auto& visit) {
    for_each_chunk(proto, layout_of(DType::kString), visit, [](uint64_t) { throw WireError{0}; });
  };
  for_each_string([&](std::string_view text) {
    ++count;
    bytes += 8 + text.size();
  });
  const auto expected = static_cast<uint64_t>(element_count(shape));
  if (count != expected) {
    problem = fmt::format("has {} values, shape {} needs {}", count, to_string(shape), expected);
    return {};
  }
  auto storage = std::make_shared<std::vector<std::byte>>(bytes);
  std::byte* out = storage->data();
  for_each_string([&](std::string_view text) {
    const uint64_t size = text.size();
    std::memcpy(out, &size, 8);
    if (size > 0) std::memcpy(out + 8, text.data(), size);
    out += 8 + size;
  });
  const std::span<const std::byte> view(*storage);
  return Tensor(DType::kString, shape, view, std::move(storage));
}

// Numbers of the type's field; in `problem` what does not divide.
uint64_t count_numbers(std::string_view proto, const Layout& layout, std::string& problem) {
  uint64_t count = 0;
  for_each_chunk(
      proto, layout,
      [&](std::string_view packed) {
        if (layout.fixed_bytes == 0) {
          count += varints_in(packed);
        } else if (packed.size() % layout.fixed_bytes != 0) {
          problem =
              fmt::format("its packed values take {} bytes, not a multiple of {}", packed.size(), layout.fixed_bytes);
        } else {
          count += packed.size() / layout.fixed_bytes;
        }
      },
      [&](uint64_t) { ++count; });
  return count;
}

void copy_numbers(std::string_view proto, const Layout& layout, size_t element, std::span<std::byte> out) {
  size_t at = 0;
  const auto put = [&](uint64_t value, size_t size) {
    if (size > out.size() - at) throw WireError{0};
    std::memcpy(out.data() + at, &value, size);
    at += size;
  };
  for_each_chunk(
      proto, layout,
      [&](std::string_view packed) {
        if (layout.fixed_bytes != 0) {
          if (packed.size() > out.size() - at) throw WireError{0};
          if (!packed.empty()) std::memcpy(out.data() + at, packed.data(), packed.size());
          at += packed.size();
          return;
        }
        WireReader reader(packed);
        while (!reader.done()) put(reader.varint(), element);
      },
      [&](uint64_t value) { put(value, layout.fixed_bytes != 0 ? layout.fixed_bytes : element); });
  if (at != out.size()) throw WireError{0};
}

}  // namespace

Tensor parse_tensor_values(std::string_view proto, DType dtype, const Shape& shape, std::string& problem) {
  if (dtype == DType::kString) return parse_strings(proto, shape, problem);
  const Layout layout = layout_of(dtype);
  const auto elements = static_cast<uint64_t>(element_count(shape));
  const bool complex = dtype == DType::kComplex64 || dtype == DType::kComplex128;
  const uint64_t expected = complex ? 2 * elements : elements;
  const uint64_t found = count_numbers(proto, layout, problem);
  if (!problem.empty()) return {};
  const std::string_view content = content_of(proto);
  if (found == 0 && !content.empty() && content.size() == elements * dtype_size(dtype)) {
    Tensor tensor(dtype, shape);
    std::memcpy(tensor.mutable_bytes().data(), content.data(), content.size());
    return tensor;
  }
  if (found != expected || !content.empty()) {
    problem = fmt::format("has {} values{}, shape {} needs {}", complex ? found / 2 : found,
                          content.empty() ? "" : fmt::format(" and {} raw bytes", content.size()), to_string(shape),
                          elements);
    return {};
  }
  Tensor tensor(dtype, shape);
  copy_numbers(proto, layout, dtype_size(dtype), tensor.mutable_bytes());
  return tensor;
}

namespace {

template <typename T, typename Wide>
std::string packed_varints(const Tensor& tensor) {
  std::string packed;
  for (const T value : tensor.as<T>()) append_varint(packed, static_cast<uint64_t>(static_cast<Wide>(value)));
  return packed;
}

std::string packed_values(const Tensor& tensor) {
  switch (tensor.dtype()) {
    case DType::kI8:
      return packed_varints<int8_t, int64_t>(tensor);
    case DType::kI16:
      return packed_varints<int16_t, int64_t>(tensor);
    case DType::kI32:
      return packed_varints<int32_t, int64_t>(tensor);
    case DType::kI64:
      return packed_varints<int64_t, int64_t>(tensor);
    case DType::kU8:
    case DType::kBool:
      return packed_varints<uint8_t, uint64_t>(tensor);
    case DType::kU16:
    case DType::kF16:
    case DType::kBF16:
      return packed_varints<uint16_t, uint64_t>(tensor);
    case DType::kU32:
      return packed_varints<uint32_t, uint64_t>(tensor);
    case DType::kU64:
      return packed_varints<uint64_t, uint64_t>(tensor);
    default:
      return {reinterpret_cast<const char*>(tensor.bytes().data()), tensor.bytes().size()};
  }
}

}  // namespace

std::string encode_tensor_values(const Tensor& tensor) {
  std::string proto;
  if (tensor.dtype() != DType::kString) {
    if (tensor.count() > 0) append_field(proto, layout_of(tensor.dtype()).field, packed_values(tensor));
    return proto;
  }
  WireReader reader({reinterpret_cast<const char*>(tensor.bytes().data()), tensor.bytes().size()});
  while (!reader.done()) {
    const uint64_t size = reader.fixed64();
    append_field(proto, kStringVal, reader.take(size));
  }
  return proto;
}

}  // namespace posefix::tensorfile
