#include "tensorfile/tensor_slice.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"

namespace posefix::tensorfile {
namespace {

struct DTypeRow {
  int64_t number;
  DType dtype;
};
constexpr std::array<DTypeRow, 16> kDTypes{{{1, DType::kF32},
                                            {2, DType::kF64},
                                            {3, DType::kI32},
                                            {4, DType::kU8},
                                            {5, DType::kI16},
                                            {6, DType::kI8},
                                            {7, DType::kString},
                                            {8, DType::kComplex64},
                                            {9, DType::kI64},
                                            {10, DType::kBool},
                                            {14, DType::kBF16},
                                            {17, DType::kU16},
                                            {18, DType::kComplex128},
                                            {19, DType::kF16},
                                            {22, DType::kU32},
                                            {23, DType::kU64}}};

// Big-endian bytes after their count.
void append_ordered(std::string& out, uint64_t value) {
  std::string bytes;
  for (; value > 0; value >>= 8) bytes.insert(bytes.begin(), static_cast<char>(value & 0xFF));
  out.push_back(static_cast<char>(bytes.size()));
  out += bytes;
}

// n bytes hold 7n-1 bits; the n-th leading bit says where the length ends.
void append_ordered_signed(std::string& out, int64_t value) {
  const uint64_t magnitude = value < 0 ? ~static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  size_t length = 1;
  while (length < 10 && (magnitude >> std::min<size_t>(7 * length - 1, 63)) != 0) ++length;
  std::array<uint8_t, 10> buffer{};
  buffer[0] = buffer[1] = value < 0 ? 0xFF : 0;
  for (size_t i = 0; i < 8; ++i) buffer[9 - i] = static_cast<uint8_t>(static_cast<uint64_t>(value) >> (8 * i));
  const size_t begin = buffer.size() - length;
  for (size_t bit = 0; bit < length; ++bit) buffer[begin + bit / 8] ^= static_cast<uint8_t>(0x80 >> (bit % 8));
  out.append(reinterpret_cast<const char*>(buffer.data()) + begin, length);
}

void append_ordered(std::string& out, std::string_view text) {
  for (const char c : text) {
    out.push_back(c);
    if (c == '\0') out.push_back('\xff');
    if (c == '\xff') out.push_back('\0');
  }
  out.push_back('\0');
  out.push_back('\1');
}

SliceExtent parse_extent(std::string_view proto) {
  SliceExtent extent;
  WireMessage message(proto);
  WireField field;
  while (message.next(field)) {
    if (field.number == 1) extent.start = field.integer();
    if (field.number == 2) extent.length = field.integer();
  }
  return extent;
}

}  // namespace

std::optional<DType> dtype_from_tensorflow(int64_t number) {
  for (const DTypeRow& row : kDTypes) {
    if (row.number == number) return row.dtype;
  }
  return std::nullopt;
}

int64_t dtype_to_tensorflow(DType dtype) {
  return std::find_if(kDTypes.begin(), kDTypes.end(), [&](const DTypeRow& row) { return row.dtype == dtype; })->number;
}

Shape parse_shape(std::string_view proto) {
  Shape shape;
  WireMessage message(proto);
  WireField field;
  while (message.next(field)) {
    if (field.number == 3 && field.integer() != 0) throw WireError{0};  // unknown rank
    if (field.number != 2) continue;
    int64_t size = 0;
    WireMessage dim(field.text());
    WireField inner;
    while (dim.next(inner)) {
      if (inner.number == 1) size = inner.integer();
    }
    if (shape.size() == kMaxRank) throw WireError{0};
    shape.push_back(size);
  }
  return shape;
}

std::string encode_shape(const Shape& shape) {
  std::string proto;
  for (const int64_t size : shape) {
    std::string dim;
    if (size != 0) append_field(dim, 1, static_cast<uint64_t>(size));
    append_field(proto, 2, dim);
  }
  return proto;
}

std::string shape_problem(const Shape& shape, DType dtype) {
  int64_t bytes = static_cast<int64_t>(std::max<size_t>(dtype_size(dtype), 1));
  for (const int64_t dim : shape) {
    if (dim < 0) return fmt::format("shape {} has a negative dimension", posefix::to_string(shape));
    if (__builtin_mul_overflow(bytes, dim, &bytes)) {
      return fmt::format("the number of elements of shape {} overflows 64 bits", posefix::to_string(shape));
    }
  }
  return "";
}

TensorSlice parse_slice(std::string_view proto) {
  TensorSlice slice;
  WireMessage message(proto);
  WireField field;
  while (message.next(field)) {
    if (field.number != 1) continue;
    if (slice.size() == kMaxRank) throw WireError{0};
    slice.push_back(parse_extent(field.text()));
  }
  return slice;
}

std::string encode_slice(const TensorSlice& slice) {
  std::string proto;
  for (const SliceExtent& extent : slice) {
    std::string inner;
    if (extent.length != kFullExtent) {
      if (extent.start != 0) append_field(inner, 1, static_cast<uint64_t>(extent.start));
      append_field(inner, 2, static_cast<uint64_t>(extent.length));
    }
    append_field(proto, 1, inner);
  }
  return proto;
}

TensorSlice full_slice(size_t rank) { return TensorSlice(rank); }

bool is_full(const TensorSlice& slice) {
  return std::all_of(slice.begin(), slice.end(), [](const SliceExtent& e) { return e == SliceExtent{}; });
}

std::optional<TensorSlice> resolve(const TensorSlice& slice, const Shape& shape) {
  if (slice.size() != shape.size()) return std::nullopt;
  TensorSlice resolved = slice;
  for (size_t i = 0; i < shape.size(); ++i) {
    SliceExtent& extent = resolved[i];
    if (extent == SliceExtent{}) extent.length = shape[i];
    if (extent.start < 0 || extent.length < 0 || extent.start > shape[i] || extent.length > shape[i] - extent.start) {
      return std::nullopt;
    }
  }
  return resolved;
}

Shape shape_of(const TensorSlice& resolved) {
  Shape shape;
  for (const SliceExtent& extent : resolved) shape.push_back(extent.length);
  return shape;
}

std::string to_string(const TensorSlice& slice) {
  std::string text = "[";
  for (const SliceExtent& extent : slice) {
    if (text.size() > 1) text += ", ";
    text += extent == SliceExtent{}
                ? ":"
                : fmt::format(
                      "{}:{}", extent.start,
                      static_cast<int64_t>(static_cast<uint64_t>(extent.start) + static_cast<uint64_t>(extent.length)));
  }
  return text + "]";
}

std::string slice_key(std::string_view name, const TensorSlice& slice) {
  std::string key;
  append_ordered(key, uint64_t{0});
  append_ordered(key, name);
  append_ordered(key, uint64_t{slice.size()});
  for (const SliceExtent& extent : slice) {
    append_ordered_signed(key, extent.start);
    append_ordered_signed(key, extent.length);
  }
  return key;
}

std::optional<std::string> name_in_slice_key(std::string_view key) {
  if (key.size() < 3 || key[0] != '\0') return std::nullopt;
  std::string name;
  for (size_t i = 1; i + 1 < key.size(); ++i) {
    const char c = key[i];
    if (c == '\0' && key[i + 1] == '\1') return name;
    name.push_back(c);
    if (c == '\0' || c == '\xff') {
      if (key[i + 1] != (c == '\0' ? '\xff' : '\0')) return std::nullopt;
      ++i;
    }
  }
  return std::nullopt;
}

SliceAssembler::SliceAssembler(DType dtype, Shape shape) : dtype_(dtype), shape_(std::move(shape)) {}

std::string SliceAssembler::add(const TensorSlice& resolved, std::span<const std::byte> bytes) {
  if (covered_.empty()) {
    tensor_ = Tensor(dtype_, shape_);
    covered_.assign(static_cast<size_t>(tensor_.count()), false);
  }
  const size_t element = dtype_size(dtype_);
  const std::span<std::byte> target = tensor_.mutable_bytes();
  const size_t rank = shape_.size();
  const auto row = static_cast<size_t>(rank == 0 ? 1 : resolved[rank - 1].length);
  if (row == 0 || bytes.empty()) return "";
  std::vector<int64_t> index(rank, 0);  // within the slice; the last dimension moves a row at a time
  for (size_t done = 0; done < bytes.size(); done += row * element) {
    size_t at = 0;
    for (size_t d = 0; d < rank; ++d) {
      at = at * static_cast<size_t>(shape_[d]) + static_cast<size_t>(resolved[d].start + index[d]);
    }
    for (size_t i = at; i < at + row; ++i) {
      if (covered_[i]) return fmt::format("slice {} overlaps another", to_string(resolved));
      covered_[i] = true;
    }
    std::memcpy(target.data() + at * element, bytes.data() + done, row * element);
    for (size_t d = rank < 2 ? 0 : rank - 1; d-- > 0;) {
      if (++index[d] < resolved[d].length) break;
      index[d] = 0;
    }
  }
  return "";
}

std::string SliceAssembler::finish(Tensor& tensor) {
  const auto gap = std::find(covered_.begin(), covered_.end(), false);
  if (gap != covered_.end()) {
    std::vector<int64_t> index(shape_.size());
    auto rest = static_cast<int64_t>(gap - covered_.begin());
    for (size_t d = shape_.size(); d-- > 0;) {
      index[d] = rest % shape_[d];
      rest /= shape_[d];
    }
    return fmt::format("element [{}] is covered by no slice", fmt::join(index, ", "));
  }
  if (covered_.empty()) {
    if (element_count(shape_) != 0) return "no slice holds its values";
    tensor_ = Tensor(dtype_, shape_);
  }
  tensor = std::move(tensor_);
  return "";
}

}  // namespace posefix::tensorfile
