#include "base/crc32c.h"
#include "base/error.h"
#include "base/file.h"
#include "tensorfile/checkpoint.h"
#include "tensorfile/table.h"
#include "tensorfile/tensor_slice.h"

namespace posefix::tensorfile {
namespace {

constexpr size_t kBlockBytes = 262144;

// Strings: lengths, their checksum, the bytes. Returns the unmasked checksum of it all.
uint32_t write_strings(const Tensor& tensor, AtomicFile& data) {
  const std::string_view stored(reinterpret_cast<const char*>(tensor.bytes().data()), tensor.bytes().size());
  std::string lengths;
  std::string text;
  uint32_t crc = 0;
  WireReader reader(stored);
  while (!reader.done()) {
    const uint64_t size = reader.fixed64();
    append_varint(lengths, size);
    const auto narrow = static_cast<uint32_t>(size);
    crc = crc32c(std::as_bytes(std::span(&narrow, 1)), crc);
    text += reader.take(size);
  }
  const uint32_t checksum = mask_crc32c(crc);
  append_fixed32(lengths, checksum);
  crc = crc32c(std::as_bytes(std::span(&checksum, 1)), crc);
  data.write(lengths);
  data.write(text);
  return crc32c(text, crc);
}

std::string write_tensor(const Tensor& tensor, AtomicFile& data) {
  const size_t offset = data.size();
  uint32_t crc = 0;
  if (tensor.dtype() == DType::kString) {
    crc = write_strings(tensor, data);
  } else {
    data.write(tensor.bytes());
    crc = crc32c(tensor.bytes());
  }
  std::string entry;
  append_field(entry, 1, static_cast<uint64_t>(dtype_to_tensorflow(tensor.dtype())));
  append_field(entry, 2, encode_shape(tensor.shape()));
  if (offset != 0) append_field(entry, 4, offset);
  if (data.size() != offset) append_field(entry, 5, data.size() - offset);
  append_fixed32_field(entry, 6, mask_crc32c(crc));
  return entry;
}

}  // namespace

void write_checkpoint_v2(const std::filesystem::path& prefix, const NamedTensors& tensors) {
  AtomicFile data(shard_path(prefix, 0, 1));
  AtomicFile index(prefix.string() + ".index");
  TableWriter table(index, kBlockBytes);
  std::string version;
  append_field(version, 1, uint64_t{1});
  std::string header;
  append_field(header, 1, uint64_t{1});
  append_field(header, 3, version);
  table.add("", header);
  for (const auto& [name, tensor] : tensors) {
    if (name.empty() || name.front() == '\0') {
      throw bad_input("{}: a tensor's name is empty or begins with a zero byte", prefix.string());
    }
    table.add(name, write_tensor(tensor, data));
  }
  table.finish();
  data.commit();
  index.commit();
}

}  // namespace posefix::tensorfile
