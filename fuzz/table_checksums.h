// Makes a mutated table's checksums right again, so that the fuzzer gets past them.
#pragma once

#include <cstring>
#include <span>

#include "base/crc32c.h"
#include "tensorfile/wire.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace posefix::fuzz {

inline constexpr size_t kFooter = 48;

// The block at `offset`, of `size` bytes: its trailer's checksum, if it lies within the file.
inline void repair_block(std::span<uint8_t> file, uint64_t offset, uint64_t size) {
  if (offset > file.size() || size > file.size() - offset || file.size() - offset - size < 5) return;
  const auto block = std::as_bytes(file.subspan(offset, size + 1));
  const uint32_t crc = mask_crc32c(crc32c(block));
  std::memcpy(file.data() + offset + size + 1, &crc, sizeof(crc));
}

// All blocks that the index names by plain records; what does not parse stays as it is.
inline void repair_table(std::span<uint8_t> file) {
  if (file.size() < kFooter) return;
  const auto text = [&](uint64_t offset, uint64_t size) {
    return std::string_view(reinterpret_cast<const char*>(file.data()) + offset, size);
  };
  try {
    tensorfile::WireReader footer(text(file.size() - kFooter, kFooter - 8));
    footer.varint();
    footer.varint();
    const uint64_t offset = footer.varint();
    const uint64_t size = footer.varint();
    if (offset > file.size() || size > file.size() - offset) return;
    tensorfile::WireReader index(text(offset, size));
    try {
      while (index.left() > 8) {
        index.varint32();
        const uint32_t unshared = index.varint32();
        index.varint32();
        index.take(unshared);
        const uint64_t block = index.varint();
        const uint64_t bytes = index.varint();
        repair_block(file, block, bytes);
      }
    } catch (const tensorfile::WireError&) {
    }
    repair_block(file, offset, size);
  } catch (const tensorfile::WireError&) {
  }
}

}  // namespace posefix::fuzz
