// The wire form of protocol buffers and of table blocks: varints and length-delimited fields.
//
// Invariants: a reader never looks past the bytes it was given and allocates nothing; what does not parse throws
// WireError, which the caller turns into an Error that says where. Non-goals: groups (refused), unknown-field keeping.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace posefix::tensorfile {

// Caught by whoever knows the file and the record.
struct WireError {
  size_t offset;  // from the start of the bytes that were parsed
};

class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : bytes_(bytes) {}
  bool done() const { return position_ == bytes_.size(); }
  size_t position() const { return position_; }
  size_t left() const { return bytes_.size() - position_; }

  uint64_t varint();                // at most 10 bytes
  uint32_t varint32();              // WireError above 2^32-1
  std::string_view take(size_t n);  // the next n bytes
  uint32_t fixed32();
  uint64_t fixed64();

 private:
  std::string_view bytes_;
  size_t position_ = 0;
};

enum class WireType : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

struct WireField {
  uint32_t number = 0;
  WireType type = WireType::kVarint;
  uint64_t value = 0;      // kVarint, kFixed64, kFixed32
  std::string_view bytes;  // kBytes

  // The value if the type is as the schema says, else WireError.
  int64_t integer() const;
  std::string_view text() const;
};

// Reads the fields of one message: while (message.next(field)) switch (field.number) ...
class WireMessage {
 public:
  explicit WireMessage(std::string_view bytes) : reader_(bytes) {}
  bool next(WireField& field);

 private:
  WireReader reader_;
};

// Writing: appends to `out`.
void append_varint(std::string& out, uint64_t value);
void append_fixed32(std::string& out, uint32_t value);
void append_fixed64(std::string& out, uint64_t value);
void append_field(std::string& out, uint32_t number, uint64_t value);  // varint; negative int64 as 10 bytes
void append_field(std::string& out, uint32_t number, std::string_view bytes);
void append_fixed32_field(std::string& out, uint32_t number, uint32_t value);
size_t varint_size(uint64_t value);

}  // namespace posefix::tensorfile
