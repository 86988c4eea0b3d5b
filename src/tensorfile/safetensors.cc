#include "tensorfile/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/crc32c.h"
#include "base/error.h"
#include "base/file.h"
#include "base/file_kind.h"
#include "tensorfile/safetensors_header.h"

namespace posefix::tensorfile {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr size_t kAlignment = 64;
constexpr std::string_view kNoChecksum = "00000000";

// Offset of the checksum's digits in the header's text; npos without. A quote inside a string is escaped, so nothing
// but the key itself looks like this.
size_t checksum_offset(std::string_view header) {
  const std::string key = fmt::format("\"{}\":\"", kChecksumKey);
  const size_t found = header.find(key);
  const size_t begin = found + key.size();
  return found == std::string_view::npos || header.size() - begin < kNoChecksum.size() ? std::string_view::npos : begin;
}

void verify_checksum(std::span<const std::byte> bytes, std::string_view header, const std::string& file) {
  const size_t digits = checksum_offset(header);
  if (digits == std::string_view::npos) return;
  const std::string stored(header.substr(digits, kNoChecksum.size()));
  const size_t begin = 8 + digits;
  uint32_t crc = crc32c(kNoChecksum, crc32c(bytes.first(begin)));
  crc = crc32c(bytes.subspan(begin + kNoChecksum.size()), crc);
  const std::string actual = fmt::format("{:08x}", crc);
  if (actual != stored) {
    throw bad_input(
        "{}: its checksum is {}, expected {}: bytes changed after it was written. Copy it again, or use an older "
        "snapshot of the run; if another program rewrote it on purpose, it must drop the metadata '{}'",
        file, actual, stored, kChecksumKey);
  }
}

// The specification forbids gaps and overlap; both are signs of a damaged header.
void check_layout(std::vector<SafeTensorsEntry>& entries, uint64_t data_offset, uint64_t data_bytes,
                  const std::string& file) {
  std::sort(entries.begin(), entries.end(), [](const SafeTensorsEntry& a, const SafeTensorsEntry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  uint64_t position = 0;
  for (const SafeTensorsEntry& entry : entries) {
    if (entry.end > data_bytes) {
      throw bad_input("{}: tensor '{}' at byte {} needs {} bytes, the file ends at byte {}; it is truncated", file,
                      entry.name, data_offset + entry.begin, entry.end - entry.begin, data_offset + data_bytes);
    }
    if (entry.begin != position) {
      throw bad_input("{}: tensor '{}' begins at byte {}, expected byte {}, where the one before it ends", file,
                      entry.name, data_offset + entry.begin, data_offset + position);
    }
    position = entry.end;
  }
  if (position != data_bytes) {
    throw bad_input("{}: {} bytes after the last tensor, at byte {}; the file is damaged", file, data_bytes - position,
                    data_offset + position);
  }
}

Tensor borrow(const SafeTensorsEntry& entry, std::span<const std::byte> data, std::shared_ptr<const void> owner) {
  const std::span<const std::byte> bytes = data.subspan(entry.begin, entry.end - entry.begin);
  const size_t alignment = std::min<size_t>(dtype_size(entry.dtype), alignof(double));
  if (reinterpret_cast<uintptr_t>(bytes.data()) % alignment == 0) {
    return Tensor(entry.dtype, entry.shape, bytes, std::move(owner));
  }
  Tensor copy(entry.dtype, entry.shape);
  if (!bytes.empty()) std::memcpy(copy.mutable_bytes().data(), bytes.data(), bytes.size());
  return copy;
}

Json parse_index(const std::filesystem::path& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  Json index = Json::parse(file->text(), nullptr, /*allow_exceptions=*/false);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    throw bad_input("{}: not an index of a split safetensors model: no object 'weight_map'", path.string());
  }
  return index;
}

SafeTensors read_index(const std::filesystem::path& path) {
  const Json index = parse_index(path);
  std::map<std::string, SafeTensors> shards;
  SafeTensors result;
  size_t named = 0;
  for (const auto& [name, value] : index["weight_map"].items()) {
    const std::string shard = value.is_string() ? value.get<std::string>() : "";
    if (shard.empty() || shard.find_first_of("/\\") != std::string::npos || shard == "..") {
      throw bad_input("{}: tensor '{}': '{}' is not the name of a file beside the index", path.string(), name,
                      value.dump(-1, ' ', false, Json::error_handler_t::replace));
    }
    auto found = shards.find(shard);
    if (found == shards.end()) {
      found = shards.emplace(shard, read_safetensors(path.parent_path() / shard)).first;
      result.metadata.insert(found->second.metadata.begin(), found->second.metadata.end());
    }
    const auto tensor = found->second.tensors.find(name);
    if (tensor == found->second.tensors.end()) {
      throw bad_input("{}: tensor '{}' should be in {}, which does not hold it", path.string(), name, shard);
    }
    result.tensors.emplace(name, tensor->second);
    ++named;
  }
  size_t held = 0;
  for (const auto& [shard, content] : shards) held += content.tensors.size();
  if (held != named) {
    throw bad_input("{}: names {} tensors, its files hold {}; index and files do not belong together", path.string(),
                    named, held);
  }
  return result;
}

std::vector<SafeTensorsEntry> lay_out(const NamedTensors& tensors, const std::filesystem::path& path) {
  std::vector<SafeTensorsEntry> entries;
  for (const auto& [name, tensor] : tensors) {
    if (safetensors_dtype(tensor.dtype()).empty() || name == "__metadata__") {
      throw bad_input("{}: tensor '{}' of type {}: safetensors cannot hold it", path.string(), name,
                      dtype_name(tensor.dtype()));
    }
    entries.push_back({name, tensor.dtype(), tensor.shape(), 0, 0});
  }
  std::stable_sort(entries.begin(), entries.end(), [](const SafeTensorsEntry& a, const SafeTensorsEntry& b) {
    return dtype_size(a.dtype) > dtype_size(b.dtype);
  });
  uint64_t position = 0;
  for (SafeTensorsEntry& entry : entries) {
    entry.begin = position;
    position += tensors.at(entry.name).bytes().size();
    entry.end = position;
  }
  return entries;
}

std::string header_text(std::vector<SafeTensorsEntry> entries, const std::map<std::string, std::string>& metadata,
                        const std::filesystem::path& path) {
  std::sort(entries.begin(), entries.end(),
            [](const SafeTensorsEntry& a, const SafeTensorsEntry& b) { return a.name < b.name; });
  std::string text = "{";
  const auto append = [&](const std::string& key, const OrderedJson& value) {
    if (text.size() > 1) text += ',';
    text += OrderedJson(key).dump() + ':' + value.dump();
  };
  try {
    if (!metadata.empty()) append("__metadata__", metadata);
    for (const SafeTensorsEntry& entry : entries) {
      append(entry.name, {{"dtype", safetensors_dtype(entry.dtype)},
                          {"shape", entry.shape},
                          {"data_offsets", {entry.begin, entry.end}}});
    }
  } catch (const Json::exception& error) {
    throw bad_input("{}: a name or a piece of metadata is not UTF-8: {}", path.string(), error.what());
  }
  text += '}';
  text.append((kAlignment - (8 + text.size()) % kAlignment) % kAlignment, ' ');
  return text;
}

}  // namespace

SafeTensors parse_safetensors(std::span<const std::byte> bytes, const std::string& name,
                              const std::shared_ptr<const void>& owner) {
  uint64_t header_bytes = 0;
  if (bytes.size() >= 8) std::memcpy(&header_bytes, bytes.data(), 8);
  if (bytes.size() < 8 || header_bytes > bytes.size() - 8) {
    const std::string_view kind = file_kind(bytes);
    if (!kind.empty()) {
      throw bad_input("{}: is {}, expected a safetensors file, as posefix's snapshots are", name, kind);
    }
    throw bad_input(
        "{}: header length {} at byte 0 passes the end of the file ({} bytes); truncated or not safetensors", name,
        header_bytes, bytes.size());
  }
  const std::string_view json(reinterpret_cast<const char*>(bytes.data()) + 8, header_bytes);
  verify_checksum(bytes, json, name);
  SafeTensorsHeader header = parse_safetensors_header(json, name);
  const std::span<const std::byte> data = bytes.subspan(8 + header_bytes);
  check_layout(header.entries, 8 + header_bytes, data.size(), name);
  SafeTensors result;
  result.metadata = std::move(header.metadata);
  for (const SafeTensorsEntry& entry : header.entries) result.tensors.emplace(entry.name, borrow(entry, data, owner));
  return result;
}

SafeTensors read_safetensors(const std::filesystem::path& path) {
  if (path.extension() == ".json") return read_index(path);
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  SafeTensors result = parse_safetensors(file->bytes(), path.string(), file);
  file->forget_pages();  // what the checksum read
  return result;
}

void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                       const std::map<std::string, std::string>& metadata) {
  const std::vector<SafeTensorsEntry> entries = lay_out(tensors, path);
  std::map<std::string, std::string> written = metadata;
  const auto checksum = written.find(kChecksumKey);
  if (checksum != written.end()) checksum->second = kNoChecksum;
  std::string header = header_text(entries, written, path);
  const uint64_t header_bytes = header.size();
  if (checksum != written.end()) {
    uint32_t crc = crc32c(header, crc32c(std::as_bytes(std::span(&header_bytes, 1))));
    for (const SafeTensorsEntry& entry : entries) crc = crc32c(tensors.at(entry.name).bytes(), crc);
    header.replace(checksum_offset(header), kNoChecksum.size(), fmt::format("{:08x}", crc));
  }
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&header_bytes, 1)));
  file.write(header);
  for (const SafeTensorsEntry& entry : entries) file.write(tensors.at(entry.name).bytes());
  file.commit();
}

}  // namespace posefix::tensorfile
