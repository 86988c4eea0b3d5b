#include <algorithm>
#include <cstring>
#include <map>
#include <memory>

#include "base/crc32c.h"
#include "base/error.h"
#include "base/file.h"
#include "tensorfile/checkpoint.h"
#include "tensorfile/table.h"
#include "tensorfile/tensor_slice.h"

namespace posefix::tensorfile {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kVersion = 1;  // kTensorBundleVersion

// BundleEntryProto.
struct Entry {
  int64_t dtype_number = 0;
  Shape shape;
  int64_t shard = 0;
  int64_t offset = 0;
  int64_t size = 0;
  uint32_t crc = 0;
  std::vector<TensorSlice> slices;
  std::string problem;
  DType dtype = DType::kF32;
  std::span<const std::byte> bytes;  // checked against the shard's size
  std::shared_ptr<const MappedFile> file;

  void fail(std::string what) {
    if (problem.empty()) problem = std::move(what);
  }
};

Entry parse_entry(std::string_view proto) {
  Entry entry;
  WireMessage message(proto);
  WireField field;
  while (message.next(field)) {
    if (field.number == 1) entry.dtype_number = field.integer();
    if (field.number == 2) entry.shape = parse_shape(field.text());
    if (field.number == 3) entry.shard = field.integer();
    if (field.number == 4) entry.offset = field.integer();
    if (field.number == 5) entry.size = field.integer();
    if (field.number == 6) entry.crc = static_cast<uint32_t>(field.integer());
    if (field.number == 7) entry.slices.push_back(parse_slice(field.text()));
  }
  return entry;
}

// Strings as they lie in a data file -> the layout of Tensor. Returns what is wrong.
std::string unpack_strings(const Entry& entry, Tensor& tensor) {
  const auto count = static_cast<uint64_t>(element_count(entry.shape));
  if (count > entry.bytes.size()) return fmt::format("{} strings do not fit into {} bytes", count, entry.bytes.size());
  WireReader reader({reinterpret_cast<const char*>(entry.bytes.data()), entry.bytes.size()});
  std::vector<uint64_t> lengths(count);
  uint32_t crc = 0;
  uint64_t total = 0;
  try {
    for (uint64_t& length : lengths) {
      length = reader.varint();
      if (length > entry.bytes.size()) return fmt::format("a string of {} bytes in {}", length, entry.bytes.size());
      total += length;
      const auto narrow = static_cast<uint32_t>(length);
      crc = crc32c(std::as_bytes(std::span(&narrow, 1)), crc);
    }
    const uint32_t stored = reader.fixed32();
    if (stored != mask_crc32c(crc)) return "the checksum of the strings' lengths does not match";
    crc = crc32c(std::as_bytes(std::span(&stored, 1)), crc);
  } catch (const WireError&) {
    return "the strings' lengths end early";
  }
  if (total != reader.left()) {
    return fmt::format("the lengths of its strings sum to {} bytes, {} are stored", total, reader.left());
  }
  auto storage = std::make_shared<std::vector<std::byte>>(8 * count + total);
  std::byte* out = storage->data();
  for (const uint64_t length : lengths) {
    const std::string_view text = reader.take(length);
    crc = crc32c(text, crc);
    std::memcpy(out, &length, 8);
    if (length > 0) std::memcpy(out + 8, text.data(), length);
    out += 8 + length;
  }
  if (mask_crc32c(crc) != entry.crc) return "the checksum of the tensor does not match; the file is damaged";
  const std::span<const std::byte> view(*storage);
  tensor = Tensor(DType::kString, entry.shape, view, std::move(storage));
  return "";
}

// The entry's values, checksum checked. Returns what is wrong.
std::string load(const Entry& entry, Tensor& tensor) {
  if (entry.dtype == DType::kString) return unpack_strings(entry, tensor);
  const uint32_t found = mask_crc32c(crc32c(entry.bytes));
  if (found != entry.crc) {
    return fmt::format("its checksum is {:08x}, its bytes give {:08x}; the file is damaged", entry.crc, found);
  }
  const size_t alignment = std::min<size_t>(dtype_size(entry.dtype), alignof(double));
  if (reinterpret_cast<uintptr_t>(entry.bytes.data()) % alignment == 0) {
    tensor = Tensor(entry.dtype, entry.shape, entry.bytes, entry.file);
    return "";
  }
  tensor = Tensor(entry.dtype, entry.shape);
  if (!entry.bytes.empty()) std::memcpy(tensor.mutable_bytes().data(), entry.bytes.data(), entry.bytes.size());
  return "";
}

class Reader {
 public:
  explicit Reader(const fs::path& prefix)
      : prefix_(prefix), index_name_(prefix.string() + ".index"), index_(MappedFile::open(index_name_)) {}

  Checkpoint read() {
    read_index();
    for (auto& [key, entry] : entries_) {
      if (entry.slices.empty()) place(entry);
    }
    refuse_overlaps();
    Checkpoint checkpoint;
    checkpoint.format = CheckpointFormat::kTensorFlowV2;
    checkpoint.source = prefix_.string();
    for (auto& [key, entry] : entries_) {
      if (!key.starts_with('\0')) checkpoint.tensors.push_back(finish(key, entry));
    }
    note_unused_bytes(checkpoint);
    return checkpoint;
  }

 private:
  void read_index() {
    Table table(index_->bytes(), index_name_);
    bool has_header = false;
    const auto visit = [&](const TableRecord& record) {
      if (!has_header) {
        if (!record.key.empty()) throw bad_input("{}: the header record (empty key) is missing", index_name_);
        read_header(record.value);
        has_header = true;
        return;
      }
      try {
        entries_.emplace(record.key, parse_entry(record.value));
      } catch (const WireError& error) {
        Entry entry;
        entry.problem = fmt::format("its record in the index block at byte {} is damaged (at its byte {})",
                                    record.block_offset, error.offset);
        entries_.emplace(record.key, std::move(entry));
      }
    };
    for (const BlockHandle& block : table.blocks()) table.read_block(block, visit);
    if (!has_header) throw bad_input("{}: the header record (empty key) is missing", index_name_);
  }

  void read_header(std::string_view proto) {
    int64_t endianness = 0;
    int64_t min_consumer = 0;
    try {
      WireMessage message(proto);
      WireField field;
      while (message.next(field)) {
        if (field.number == 1) shards_ = field.integer();
        if (field.number == 2) endianness = field.integer();
        if (field.number != 3) continue;
        WireMessage version(field.text());
        WireField inner;
        while (version.next(inner)) {
          if (inner.number == 2) min_consumer = inner.integer();
        }
      }
    } catch (const WireError& error) {
      throw bad_input("{}: the header record is damaged at its byte {}", index_name_, error.offset);
    }
    if (endianness != 0) throw bad_input("{}: big-endian values; only little-endian files are read", index_name_);
    if (min_consumer > kVersion) {
      throw bad_input("{}: needs a reader of version {}, this one knows version {}", index_name_, min_consumer,
                      kVersion);
    }
    if (shards_ < 1) throw bad_input("{}: the header record names {} data files", index_name_, shards_);
  }

  // Checks type, shape and size and finds the bytes in the data file.
  void place(Entry& entry) {
    if (!entry.problem.empty()) return;
    const std::optional<DType> dtype = dtype_from_tensorflow(entry.dtype_number);
    if (!dtype) return entry.fail(fmt::format("unknown type {} in the index", entry.dtype_number));
    entry.dtype = *dtype;
    if (entry.problem = shape_problem(entry.shape, *dtype); !entry.problem.empty()) return;
    if (entry.shard < 0 || entry.shard >= shards_) {
      return entry.fail(fmt::format("lies in data file {}, the index knows {}", entry.shard, shards_));
    }
    if (entry.offset < 0 || entry.size < 0) {
      return entry.fail(fmt::format("{} bytes at byte {}: negative", entry.size, entry.offset));
    }
    entry.file = shard(entry);
    if (!entry.file) return;
    const std::span<const std::byte> data = entry.file->bytes();
    const std::string name = entry.file->path().filename().string();
    const auto offset = static_cast<uint64_t>(entry.offset);
    const auto size = static_cast<uint64_t>(entry.size);
    const auto expected = static_cast<uint64_t>(element_count(entry.shape)) * dtype_size(*dtype);
    if (*dtype != DType::kString && size != expected) {
      return entry.fail(fmt::format("{} bytes are stored at byte {} of {}, shape {} of {} needs {}", size, offset, name,
                                    posefix::to_string(entry.shape), dtype_name(*dtype), expected));
    }
    if (offset > data.size() || size > data.size() - offset) {
      return entry.fail(fmt::format("{} bytes at byte {} of {}, which ends at byte {}; it is truncated", size, offset,
                                    name, data.size()));
    }
    entry.bytes = data.subspan(offset, size);
  }

  std::shared_ptr<const MappedFile> shard(Entry& entry) {
    const auto found = shard_files_.find(entry.shard);
    if (found != shard_files_.end()) {
      if (!found->second) entry.fail(shard_problem_.at(entry.shard));
      return found->second;
    }
    std::shared_ptr<const MappedFile>& file = shard_files_[entry.shard];
    try {
      file = MappedFile::open(shard_path(prefix_, entry.shard, shards_));
    } catch (const Error& error) {
      shard_problem_[entry.shard] = error.what();
      entry.fail(error.what());
    }
    return file;
  }

  // TensorFlow never lets two tensors share bytes; a file in which they do was made to exhaust memory.
  void refuse_overlaps() {
    std::vector<std::pair<const std::string*, Entry*>> placed;
    for (auto& [key, entry] : entries_) {
      if (!entry.bytes.empty()) placed.emplace_back(&key, &entry);
    }
    std::sort(placed.begin(), placed.end(), [](const auto& a, const auto& b) {
      return std::tie(a.second->shard, a.second->offset) < std::tie(b.second->shard, b.second->offset);
    });
    int64_t shard_id = -1;
    int64_t end = 0;
    for (auto& [key, entry] : placed) {
      if (entry->shard != shard_id) end = 0;
      shard_id = entry->shard;
      if (entry->offset < end) {
        entry->fail(fmt::format("at byte {} of {} it overlaps the tensor before it, which ends at byte {}",
                                entry->offset, entry->file->path().filename().string(), end));
        continue;
      }
      unused_ += entry->offset - end;
      end = entry->offset + entry->size;
      shard_end_[entry->shard] = end;
    }
  }

  CheckpointTensor finish(const std::string& name, Entry& entry) {
    CheckpointTensor tensor;
    tensor.name = name;
    tensor.shape = entry.shape;
    if (!entry.slices.empty()) assemble(name, entry, tensor);
    tensor.dtype = entry.dtype;
    if (entry.slices.empty()) {
      tensor.bytes = static_cast<uint64_t>(std::max<int64_t>(entry.size, 0));
      tensor.offset = entry.offset;
    }
    if (entry.file) tensor.file = entry.file->path().string();
    if (entry.slices.empty() && entry.problem.empty()) {
      if (const std::string what = load(entry, tensor.value); !what.empty()) {
        entry.fail(fmt::format("at byte {} of {} ({} bytes): {}", entry.offset, entry.file->path().filename().string(),
                               entry.size, what));
      }
    }
    tensor.problem = entry.problem;
    return tensor;
  }

  // A partitioned variable: its slices have entries of their own.
  void assemble(const std::string& name, Entry& whole, CheckpointTensor& tensor) {
    tensor.slices = static_cast<int>(whole.slices.size());
    const std::optional<DType> dtype = dtype_from_tensorflow(whole.dtype_number);
    if (!dtype) return whole.fail(fmt::format("unknown type {} in the index", whole.dtype_number));
    whole.dtype = *dtype;
    if (whole.problem = shape_problem(whole.shape, *dtype); !whole.problem.empty()) return;
    if (*dtype == DType::kString) return whole.fail("a string tensor cannot be partitioned");
    std::vector<std::pair<TensorSlice, Entry*>> parts;
    uint64_t elements = 0;
    for (const TensorSlice& slice : whole.slices) {
      Entry* part = find_part(name, slice, whole);
      if (part == nullptr) return;
      parts.emplace_back(*resolve(slice, whole.shape), part);
      elements += static_cast<uint64_t>(element_count(part->shape));
      tensor.bytes += static_cast<uint64_t>(part->size);
    }
    whole.file = parts.front().second->file;
    tensor.offset = parts.front().second->offset;
    const auto expected = static_cast<uint64_t>(element_count(whole.shape));
    if (elements != expected) {
      return whole.fail(fmt::format("its slices hold {} of {} elements: part of it is uncovered or covered twice",
                                    elements, expected));
    }
    SliceAssembler assembler(*dtype, whole.shape);
    for (const auto& [slice, part] : parts) {
      Tensor value;
      std::string what = load(*part, value);
      if (what.empty()) what = assembler.add(slice, value.bytes());
      if (!what.empty()) {
        return whole.fail(fmt::format("slice {} at byte {} of {}: {}", to_string(slice), part->offset,
                                      part->file->path().filename().string(), what));
      }
    }
    if (const std::string what = assembler.finish(tensor.value); !what.empty()) whole.fail(what);
  }

  // The entry of one slice, or null and a problem of the whole.
  Entry* find_part(const std::string& name, const TensorSlice& slice, Entry& whole) {
    const std::optional<TensorSlice> resolved = resolve(slice, whole.shape);
    if (!resolved) {
      whole.fail(fmt::format("slice {} does not lie in shape {}", to_string(slice), posefix::to_string(whole.shape)));
      return nullptr;
    }
    const auto found = entries_.find(slice_key(name, slice));
    if (found == entries_.end()) {
      whole.fail(fmt::format("slice {} has no record in the index", to_string(slice)));
      return nullptr;
    }
    Entry& part = found->second;
    if (!part.slices.empty()) part.fail("it has slices itself");
    if (part.dtype != whole.dtype || part.shape != shape_of(*resolved)) {
      part.fail(fmt::format("its record says {} {}", dtype_name(part.dtype), posefix::to_string(part.shape)));
    }
    if (!part.problem.empty()) {
      whole.fail(fmt::format("slice {}: {}", to_string(slice), part.problem));
      return nullptr;
    }
    return &part;
  }

  void note_unused_bytes(Checkpoint& checkpoint) {
    for (const auto& [id, file] : shard_files_) {
      if (file) unused_ += static_cast<int64_t>(file->bytes().size()) - shard_end_[id];
    }
    if (unused_ > 0) checkpoint.notes.push_back(fmt::format("{} bytes of the data files belong to no tensor", unused_));
  }

  fs::path prefix_;
  std::string index_name_;
  std::shared_ptr<const MappedFile> index_;
  int64_t shards_ = 0;
  std::map<std::string, Entry, std::less<>> entries_;
  std::map<int64_t, std::shared_ptr<const MappedFile>> shard_files_;
  std::map<int64_t, std::string> shard_problem_;
  std::map<int64_t, int64_t> shard_end_;
  int64_t unused_ = 0;
};

}  // namespace

fs::path shard_path(const fs::path& prefix, int64_t shard, int64_t shards) {
  return fmt::format("{}.data-{:05d}-of-{:05d}", prefix.string(), shard, shards);
}

Checkpoint open_checkpoint_v2(const fs::path& prefix) { return Reader(prefix).read(); }

}  // namespace posefix::tensorfile
