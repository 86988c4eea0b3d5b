#include "tensorfile/table.h"

#include <snappy.h>

#include <cstring>

#include "base/crc32c.h"
#include "base/error.h"
#include "base/file_kind.h"
#include "tensorfile/wire.h"

namespace posefix::tensorfile {
namespace {

constexpr uint64_t kMagic = 0xdb4775248b80fb57ULL;
constexpr size_t kFooterBytes = 48;
constexpr size_t kTrailerBytes = 5;
// A snappy copy of 3 bytes yields at most 64: a block that claims more is lying.
constexpr uint64_t kSnappyRatio = 22;
// Keys are stored as differences. With a restart every 16 records they expand at most 16 times; a file whose keys
// expand more was made to exhaust memory.
constexpr uint64_t kKeyRatio = 64;

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

uint32_t u32_at(std::string_view bytes, size_t offset) {
  uint32_t value = 0;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

// Keys of slices hold zero bytes; a message must not end at one.
std::string printable(std::string_view key) {
  std::string text;
  for (const char c : key) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte < 0x20 || byte == 0x7F) {
      text += fmt::format("\\x{:02x}", byte);
    } else {
      text += c;
    }
  }
  return text;
}

BlockHandle read_handle(WireReader& reader) {
  BlockHandle handle;
  handle.offset = reader.varint();
  handle.size = reader.varint();
  return handle;
}

}  // namespace

Table::Table(std::span<const std::byte> bytes, const std::string& name) : bytes_(bytes), name_(name) {
  if (bytes.empty()) throw bad_input("{}: the file is empty (byte 0), expected a TensorFlow checkpoint", name);
  if (bytes.size() < kFooterBytes) {
    throw bad_input(
        "{}: {} bytes from byte 0, shorter than the {} bytes of a table's footer; truncated or no checkpoint", name,
        bytes.size(), kFooterBytes);
  }
  const std::string_view kind = file_kind(bytes);
  const std::string_view footer = as_text(bytes.last(kFooterBytes));
  const size_t footer_at = bytes.size() - kFooterBytes;
  uint64_t magic = 0;
  std::memcpy(&magic, footer.data() + 40, sizeof(magic));
  if (magic != kMagic && !kind.empty()) {
    throw bad_input(
        "{}: is {}, expected a TensorFlow checkpoint (magic number {:016x} at byte {}) or a safetensors file", name,
        kind, kMagic, footer_at + 40);
  }
  if (magic != kMagic) {
    throw bad_input(
        "{}: magic number at byte {} is {:016x}, expected {:016x}; the file is truncated or no TensorFlow checkpoint",
        name, footer_at + 40, magic, kMagic);
  }
  BlockHandle index;
  try {
    WireReader reader(footer.substr(0, 40));
    check_handle(read_handle(reader), footer_at);
    index = read_handle(reader);
  } catch (const WireError&) {
    throw bad_input("{}: the footer at byte {} is damaged", name, footer_at);
  }
  check_handle(index, footer_at);
  uint64_t end = 0;
  const auto visit = [&](const TableRecord& record) {
    BlockHandle handle;
    try {
      WireReader reader(record.value);
      handle = read_handle(reader);
    } catch (const WireError&) {
      throw bad_input("{}: the index block at byte {} holds a damaged block handle", name_, index.offset);
    }
    check_handle(handle, index.offset);
    if (handle.offset < end) {
      throw bad_input("{}: the index block at byte {} names a block at byte {} that overlaps the one before it", name_,
                      index.offset, handle.offset);
    }
    end = handle.offset + handle.size + kTrailerBytes;
    blocks_.push_back(handle);
  };
  try {
    read_records(index, visit);
  } catch (const Error& error) {
    throw bad_input("{}; this is the index of the blocks from byte 0 on, which cannot be told apart without it",
                    error.what());
  }
  last_key_.clear();
  has_last_key_ = false;
}

void Table::check_handle(const BlockHandle& handle, uint64_t found_at) const {
  const uint64_t limit = bytes_.size() - kFooterBytes;
  if (handle.offset > limit || handle.size > limit - handle.offset ||
      limit - handle.offset - handle.size < kTrailerBytes) {
    throw bad_input("{}: byte {} points to a block at byte {} of {} bytes, past the end of the file ({} bytes)", name_,
                    found_at, handle.offset, handle.size, bytes_.size());
  }
}

std::string_view Table::stored_block(const BlockHandle& handle, std::string& decompressed) const {
  const std::string_view stored = as_text(bytes_.subspan(handle.offset, handle.size + kTrailerBytes));
  const auto type = static_cast<uint8_t>(stored[handle.size]);
  if (type > 1) {
    throw bad_input("{}: block type {} at byte {}, expected 0 (plain) or 1 (snappy)", name_, type,
                    handle.offset + handle.size);
  }
  const uint32_t expected = u32_at(stored, handle.size + 1);
  const uint32_t found = mask_crc32c(crc32c(stored.substr(0, handle.size + 1)));
  if (expected != found) {
    throw bad_input(
        "{}: checksum of the block at byte {} ({} bytes) is {:08x}, its bytes give {:08x}; the file is damaged", name_,
        handle.offset, handle.size, expected, found);
  }
  const std::string_view block = stored.substr(0, handle.size);
  if (type == 0) return block;
  size_t size = 0;
  if (!snappy::GetUncompressedLength(block.data(), block.size(), &size) || size > kSnappyRatio * block.size() + 64) {
    throw bad_input("{}: the snappy block at byte {} ({} bytes) claims {} bytes", name_, handle.offset, handle.size,
                    size);
  }
  if (!snappy::Uncompress(block.data(), block.size(), &decompressed)) {
    throw bad_input("{}: the snappy block at byte {} ({} bytes) does not decompress", name_, handle.offset,
                    handle.size);
  }
  return decompressed;
}

void Table::read_block(const BlockHandle& handle, const Visit& visit) { read_records(handle, visit); }

void Table::read_records(const BlockHandle& handle, const Visit& visit) {
  std::string decompressed;
  const std::string_view block = stored_block(handle, decompressed);
  const uint64_t restarts = block.size() < 4 ? 0 : u32_at(block, block.size() - 4);
  if (block.size() < 4 || restarts > (block.size() - 4) / 4) {
    throw bad_input("{}: the block at byte {} claims {} restart points in {} bytes", name_, handle.offset, restarts,
                    block.size());
  }
  WireReader reader(block.substr(0, block.size() - 4 - 4 * restarts));
  uint64_t key_bytes = 0;
  std::string key;
  while (!reader.done()) {
    const size_t start = reader.position();
    std::string_view value;
    try {
      const uint32_t shared = reader.varint32();
      const uint32_t unshared = reader.varint32();
      const uint32_t value_bytes = reader.varint32();
      if (shared > key.size()) {
        throw bad_input("{}: the record at byte {} shares {} bytes with a key of {} bytes", name_,
                        handle.offset + start, shared, key.size());
      }
      key.resize(shared);
      key.append(reader.take(unshared));
      value = reader.take(value_bytes);
    } catch (const WireError& error) {
      throw bad_input("{}: the record at byte {} of the block at byte {} ends early (at byte {})", name_, start,
                      handle.offset, error.offset);
    }
    key_bytes += key.size();
    if (key_bytes > kKeyRatio * (block.size() + 1024)) {
      throw bad_input("{}: the keys of the block at byte {} expand to more than {} times its size", name_,
                      handle.offset, kKeyRatio);
    }
    if (has_last_key_ && key <= last_key_) {
      throw bad_input(
          "{}: key '{}' at byte {} of the block at byte {} {}", name_, printable(key), start, handle.offset,
          key == last_key_ ? "is there twice" : "stands after '" + printable(last_key_) + "': keys must ascend");
    }
    visit({key, value, handle.offset});
    last_key_ = key;
    has_last_key_ = true;
  }
}

}  // namespace posefix::tensorfile
