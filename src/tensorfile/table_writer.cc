#include "base/crc32c.h"
#include "base/error.h"
#include "tensorfile/table.h"
#include "tensorfile/wire.h"

namespace posefix::tensorfile {
namespace {

constexpr uint64_t kMagic = 0xdb4775248b80fb57ULL;

size_t shared_prefix(std::string_view a, std::string_view b) {
  size_t n = 0;
  while (n < a.size() && n < b.size() && a[n] == b[n]) ++n;
  return n;
}

// A short key k with a <= k < b, as the original writer chooses it.
std::string separator(std::string_view a, std::string_view b) {
  const size_t shared = shared_prefix(a, b);
  if (shared < a.size() && shared < b.size()) {
    const auto byte = static_cast<uint8_t>(a[shared]);
    if (byte < 0xFF && byte + 1 < static_cast<uint8_t>(b[shared])) {
      std::string key(a.substr(0, shared + 1));
      key.back() = static_cast<char>(byte + 1);
      return key;
    }
  }
  return std::string(a);
}

// A short key k with a <= k.
std::string successor(std::string_view a) {
  for (size_t i = 0; i < a.size(); ++i) {
    const auto byte = static_cast<uint8_t>(a[i]);
    if (byte != 0xFF) {
      std::string key(a.substr(0, i + 1));
      key.back() = static_cast<char>(byte + 1);
      return key;
    }
  }
  return std::string(a);
}

std::string encode(const BlockHandle& handle) {
  std::string text;
  append_varint(text, handle.offset);
  append_varint(text, handle.size);
  return text;
}

}  // namespace

void TableWriter::BlockBuilder::add(std::string_view key, std::string_view value) {
  size_t shared = 0;
  if (since_restart < restart_interval) {
    shared = shared_prefix(last_key, key);
  } else {
    restarts.push_back(static_cast<uint32_t>(bytes.size()));
    since_restart = 0;
  }
  append_varint(bytes, shared);
  append_varint(bytes, key.size() - shared);
  append_varint(bytes, value.size());
  bytes.append(key.substr(shared));
  bytes.append(value);
  last_key = key;
  ++since_restart;
}

std::string TableWriter::BlockBuilder::take() {
  for (const uint32_t restart : restarts) append_fixed32(bytes, restart);
  append_fixed32(bytes, static_cast<uint32_t>(restarts.size()));
  std::string block = std::move(bytes);
  bytes.clear();
  restarts.assign(1, 0);
  since_restart = 0;
  last_key.clear();
  return block;
}

TableWriter::TableWriter(AtomicFile& file, size_t block_bytes) : file_(file), block_bytes_(block_bytes) {}

BlockHandle TableWriter::write_block(const std::string& block) {
  const BlockHandle handle{file_.size(), block.size()};
  const char type = 0;
  std::string trailer(1, type);
  append_fixed32(trailer, mask_crc32c(crc32c(std::string_view(&type, 1), crc32c(block))));
  file_.write(block);
  file_.write(trailer);
  return handle;
}

void TableWriter::end_block() {
  pending_handle_ = write_block(data_.take());
  pending_ = true;
}

void TableWriter::add(std::string_view key, std::string_view value) {
  PFX_CHECK(file_.size() + data_.bytes.size() == 0 || key > last_key_);
  if (pending_) {
    index_.add(separator(last_key_, key), encode(pending_handle_));
    pending_ = false;
  }
  data_.add(key, value);
  last_key_ = key;
  if (data_.bytes.size() + 4 * data_.restarts.size() + 4 >= block_bytes_) end_block();
}

void TableWriter::finish() {
  if (!data_.bytes.empty()) end_block();
  BlockBuilder empty{16, {}, {0}, 0, {}};
  const BlockHandle metaindex = write_block(empty.take());
  if (pending_) index_.add(successor(last_key_), encode(pending_handle_));
  const BlockHandle index = write_block(index_.take());
  std::string footer = encode(metaindex) + encode(index);
  footer.resize(40, '\0');
  append_fixed64(footer, kMagic);
  file_.write(footer);
}

}  // namespace posefix::tensorfile
