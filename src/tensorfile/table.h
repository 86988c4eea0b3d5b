// Sorted tables of (key, value) records: what a V1 checkpoint and the index of a V2 checkpoint are.
//
//   blocks         data blocks, an (empty) metaindex block, an index block; each followed by 5 bytes of trailer:
//                  u8 type (0 plain, 1 snappy), u32 masked CRC-32C of the stored block and the type byte
//   block          records, then u32 restarts[count], u32 count; a record is varint32 shared, varint32 unshared,
//                  varint32 value length, the key's unshared end, the value; a restart is the offset of a record
//                  that shares nothing
//   index block    one record a data block: a key not below its last one -> handle (varint64 offset, varint64 size)
//   footer         last 48 bytes: metaindex handle, index handle, zeros up to 40, u64 magic 0xdb4775248b80fb57
//
// All numbers little-endian. Invariants of reading: no length or offset is trusted, checksums are checked, keys ascend
// strictly, blocks ascend without overlap; memory stays within a small multiple of the file's size.
// Source: tensorflow/core/lib/io/format.cc, table_builder.cc, block_builder.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace posefix::tensorfile {

struct BlockHandle {
  uint64_t offset = 0;
  uint64_t size = 0;  // without the trailer
};

struct TableRecord {
  std::string_view key;    // valid during the call
  std::string_view value;  // valid during the call
  uint64_t block_offset = 0;
};

class Table {
 public:
  using Visit = std::function<void(const TableRecord&)>;

  // Reads footer and index. `bytes` and `name` (for messages) are borrowed. Error (bad input) with the byte offset.
  Table(std::span<const std::byte> bytes, const std::string& name);

  const std::vector<BlockHandle>& blocks() const { return blocks_; }
  // The records of one data block, in order. Call for ascending blocks. Error (bad input) as above; what `visit`
  // throws passes through.
  void read_block(const BlockHandle& handle, const Visit& visit);

 private:
  std::string_view stored_block(const BlockHandle& handle, std::string& decompressed) const;
  void read_records(const BlockHandle& handle, const Visit& visit);
  void check_handle(const BlockHandle& handle, uint64_t found_at) const;

  std::span<const std::byte> bytes_;
  const std::string& name_;
  std::vector<BlockHandle> blocks_;
  std::string last_key_;
  bool has_last_key_ = false;
};

// Writes a table as TensorFlow does: plain blocks, a restart every 16 records.
class TableWriter {
 public:
  // `file` is borrowed; `block_bytes`: a block ends once it holds that many.
  TableWriter(AtomicFile& file, size_t block_bytes);
  // Keys must ascend strictly.
  void add(std::string_view key, std::string_view value);
  // Writes what is left, the index and the footer.
  void finish();

 private:
  struct BlockBuilder {
    int restart_interval;
    std::string bytes;
    std::vector<uint32_t> restarts{0};
    int since_restart = 0;
    std::string last_key;
    void add(std::string_view key, std::string_view value);
    std::string take();
  };
  BlockHandle write_block(const std::string& block);
  void end_block();

  AtomicFile& file_;
  size_t block_bytes_;
  BlockBuilder data_{16, {}, {0}, 0, {}};
  BlockBuilder index_{1, {}, {0}, 0, {}};
  bool pending_ = false;  // a block was written whose index record waits for the next key
  BlockHandle pending_handle_;
  std::string last_key_;
};

}  // namespace posefix::tensorfile
