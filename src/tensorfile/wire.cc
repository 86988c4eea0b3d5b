#include "tensorfile/wire.h"

namespace posefix::tensorfile {

uint64_t WireReader::varint() {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (position_ == bytes_.size()) throw WireError{position_};
    const auto byte = static_cast<uint8_t>(bytes_[position_++]);
    if (shift == 63 && byte > 1) break;
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  throw WireError{position_ - 1};
}

uint32_t WireReader::varint32() {
  const size_t start = position_;
  const uint64_t value = varint();
  if (value > UINT32_MAX) throw WireError{start};
  return static_cast<uint32_t>(value);
}

std::string_view WireReader::take(size_t n) {
  if (n > left()) throw WireError{position_};
  const std::string_view taken = bytes_.substr(position_, n);
  position_ += n;
  return taken;
}

uint32_t WireReader::fixed32() {
  uint32_t value = 0;
  std::memcpy(&value, take(sizeof(value)).data(), sizeof(value));
  return value;
}

uint64_t WireReader::fixed64() {
  uint64_t value = 0;
  std::memcpy(&value, take(sizeof(value)).data(), sizeof(value));
  return value;
}

int64_t WireField::integer() const {
  if (type == WireType::kBytes) throw WireError{0};
  return static_cast<int64_t>(value);
}

std::string_view WireField::text() const {
  if (type != WireType::kBytes) throw WireError{0};
  return bytes;
}

bool WireMessage::next(WireField& field) {
  if (reader_.done()) return false;
  const size_t start = reader_.position();
  const uint32_t tag = reader_.varint32();
  field.number = tag >> 3;
  field.type = static_cast<WireType>(tag & 7);
  field.value = 0;
  field.bytes = {};
  if (field.number == 0) throw WireError{start};
  switch (field.type) {
    case WireType::kVarint:
      field.value = reader_.varint();
      return true;
    case WireType::kFixed64:
      field.value = reader_.fixed64();
      return true;
    case WireType::kBytes:
      field.bytes = reader_.take(reader_.varint());
      return true;
    case WireType::kFixed32:
      field.value = reader_.fixed32();
      return true;
  }
  throw WireError{start};
}

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>((value & 0x7F) | 0x80));
  out.push_back(static_cast<char>(value));
}

void append_fixed32(std::string& out, uint32_t value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void append_fixed64(std::string& out, uint64_t value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void append_field(std::string& out, uint32_t number, uint64_t value) {
  append_varint(out, number << 3);
  append_varint(out, value);
}

void append_field(std::string& out, uint32_t number, std::string_view bytes) {
  append_varint(out, (number << 3) | static_cast<uint32_t>(WireType::kBytes));
  append_varint(out, bytes.size());
  out.append(bytes);
}

void append_fixed32_field(std::string& out, uint32_t number, uint32_t value) {
  append_varint(out, (number << 3) | static_cast<uint32_t>(WireType::kFixed32));
  append_fixed32(out, value);
}

size_t varint_size(uint64_t value) {
  size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

}  // namespace posefix::tensorfile
