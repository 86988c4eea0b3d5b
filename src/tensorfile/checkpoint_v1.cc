#include <map>

#include "base/error.h"
#include "base/file.h"
#include "tensorfile/checkpoint.h"
#include "tensorfile/table.h"
#include "tensorfile/tensor_proto.h"
#include "tensorfile/tensor_slice.h"

namespace posefix::tensorfile {
namespace {

constexpr int64_t kVersion = 1;  // TF_CHECKPOINT_VERSION

constexpr size_t kBlockBytes = 262144;

// What TensorFlow's own V1 writer takes.
bool fits_v1(DType dtype) {
  switch (dtype) {
    case DType::kF16:
    case DType::kBF16:
    case DType::kU16:
    case DType::kU32:
    case DType::kU64:
    case DType::kComplex64:
    case DType::kComplex128:
      return false;
    default:
      return true;
  }
}

std::string encode_record(const std::string& name, const Tensor& tensor) {
  std::string data;
  append_field(data, 1, name);
  append_field(data, 2, encode_slice(full_slice(tensor.shape().size())));
  append_field(data, 3, encode_tensor_values(tensor));
  std::string record;
  append_field(record, 2, data);
  return record;
}

struct SavedTensor {
  CheckpointTensor entry;
  int64_t dtype_number = 0;
  std::vector<TensorSlice> slices;
  std::vector<std::pair<TensorSlice, Tensor>> parts;  // records found; put together once all are there
  void fail(std::string what) {
    if (entry.problem.empty()) entry.problem = std::move(what);
  }
};

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& name) : table_(bytes, name), name_(name) {}

  Checkpoint read() {
    for (const BlockHandle& block : table_.blocks()) {
      const auto visit = [&](const TableRecord& record) { read_record(record); };
      if (!has_meta_) {
        table_.read_block(block, visit);  // without the names nothing can be told
        continue;
      }
      try {
        table_.read_block(block, visit);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::kBadInput) throw;
        damage_ += (damage_.empty() ? "" : "; ") + std::string(error.what()).substr(name_.size() + 2);
      }
    }
    if (!has_meta_) throw bad_input("{}: the record that names the tensors (empty key) is missing", name_);
    return finish();
  }

 private:
  void read_record(const TableRecord& record) {
    if (!has_meta_) {
      if (!record.key.empty()) {
        throw bad_input("{}: the record that names the tensors (empty key) is missing at byte {}", name_,
                        record.block_offset);
      }
      try {
        read_meta(record.value);
      } catch (const WireError& error) {
        throw bad_input("{}: the record that names the tensors is damaged at its byte {} (block at byte {})", name_,
                        error.offset, record.block_offset);
      }
      has_meta_ = true;
      return;
    }
    const auto expected = expected_.find(record.key);
    if (expected == expected_.end()) {
      notes_.push_back(fmt::format("a record of '{}' in the block at byte {}, which the list of tensors does not name",
                                   name_in_slice_key(record.key).value_or("?"), record.block_offset));
      return;
    }
    SavedTensor& tensor = *expected->second.tensor;
    try {
      read_data(tensor, expected->second.slice, record);
    } catch (const WireError&) {
      tensor.fail(fmt::format("its record in the block at byte {} is damaged", record.block_offset));
    }
  }

  void read_meta(std::string_view value) {
    WireMessage message(value);
    WireField field;
    while (message.next(field)) {
      if (field.number != 1) continue;
      WireMessage meta(field.text());
      WireField inner;
      while (meta.next(inner)) {
        if (inner.number == 1) read_saved_tensor(inner.text());
        if (inner.number == 2) check_version(inner.text());
      }
    }
  }

  void check_version(std::string_view proto) {
    WireMessage message(proto);
    WireField field;
    while (message.next(field)) {
      if (field.number == 2 && field.integer() > kVersion) {
        throw bad_input("{}: needs a reader of version {}, this one knows version {}", name_, field.integer(),
                        kVersion);
      }
    }
  }

  void read_saved_tensor(std::string_view proto) {
    SavedTensor tensor;
    WireMessage message(proto);
    WireField field;
    while (message.next(field)) {
      if (field.number == 1) tensor.entry.name = field.text();
      if (field.number == 2) tensor.entry.shape = parse_shape(field.text());
      if (field.number == 3) tensor.dtype_number = field.integer();
      if (field.number == 4) tensor.slices.push_back(parse_slice(field.text()));
    }
    tensor.entry.file = name_;
    const std::vector<TensorSlice> raw_slices = tensor.slices;
    const std::optional<DType> dtype = dtype_from_tensorflow(tensor.dtype_number);
    if (!dtype) {
      tensor.fail(fmt::format("unknown type {} in the record that names the tensors", tensor.dtype_number));
    } else {
      tensor.entry.dtype = *dtype;
      tensor.entry.problem = shape_problem(tensor.entry.shape, *dtype);
      if (tensor.entry.problem.empty()) check_slices(tensor);
    }
    const std::string name = tensor.entry.name;
    const auto [place, is_new] = tensors_.emplace(name, std::move(tensor));
    if (!is_new) {
      place->second.fail("the record that names the tensors holds it twice");
      return;
    }
    for (size_t i = 0; i < raw_slices.size(); ++i) {
      expected_.emplace(slice_key(name, raw_slices[i]), Expected{&place->second, i});
    }
  }

  static void check_slices(SavedTensor& tensor) {
    uint64_t elements = 0;
    for (TensorSlice& slice : tensor.slices) {
      const std::optional<TensorSlice> resolved = resolve(slice, tensor.entry.shape);
      if (!resolved) {
        tensor.fail(
            fmt::format("slice {} does not lie in shape {}", to_string(slice), posefix::to_string(tensor.entry.shape)));
        return;
      }
      elements += static_cast<uint64_t>(element_count(shape_of(*resolved)));
      slice = *resolved;
    }
    const auto expected = static_cast<uint64_t>(element_count(tensor.entry.shape));
    if (elements != expected) {
      tensor.fail(fmt::format("its slices hold {} of {} elements: part of it is uncovered or covered twice", elements,
                              expected));
    }
    const bool whole = tensor.slices.size() == 1;
    tensor.entry.slices = whole ? 0 : static_cast<int>(tensor.slices.size());
    if (!whole && tensor.entry.dtype == DType::kString) tensor.fail("a string tensor cannot be partitioned");
  }

  static void read_data(SavedTensor& tensor, size_t slice_index, const TableRecord& record) {
    std::string_view saved;
    WireMessage message(record.value);
    WireField field;
    while (message.next(field)) {
      if (field.number == 2) saved = field.text();
    }
    std::string_view name;
    std::string_view slice;
    std::string_view values;
    WireMessage data(saved);
    while (data.next(field)) {
      if (field.number == 1) name = field.text();
      if (field.number == 2) slice = field.text();
      if (field.number == 3) values = field.text();
    }
    if (!tensor.entry.problem.empty()) return;
    const TensorSlice& expected = tensor.slices[slice_index];
    if (name != tensor.entry.name || resolve(parse_slice(slice), tensor.entry.shape) != expected) {
      tensor.fail(fmt::format("its record in the block at byte {} holds another tensor or slice", record.block_offset));
      return;
    }
    std::string problem;
    Tensor part = parse_tensor_values(values, tensor.entry.dtype, shape_of(expected), problem);
    if (!problem.empty()) {
      tensor.fail(fmt::format("its record in the block at byte {} {}", record.block_offset, problem));
      return;
    }
    if (tensor.parts.empty()) tensor.entry.offset = static_cast<int64_t>(record.block_offset);
    tensor.entry.bytes += part.bytes().size();
    tensor.parts.emplace_back(expected, std::move(part));
  }

  void assemble(SavedTensor& tensor) {
    if (!tensor.entry.problem.empty()) return;
    if (tensor.parts.size() != tensor.slices.size()) {
      tensor.fail(fmt::format("{} records hold its values, expected {}{}{}", tensor.parts.size(), tensor.slices.size(),
                              damage_.empty() ? "" : "; ", damage_));
      return;
    }
    if (tensor.slices.size() == 1) {
      tensor.entry.value = std::move(tensor.parts.front().second);
      return;
    }
    SliceAssembler assembler(tensor.entry.dtype, tensor.entry.shape);
    for (const auto& [slice, part] : tensor.parts) {
      if (const std::string problem = assembler.add(slice, part.bytes()); !problem.empty()) tensor.fail(problem);
    }
    if (const std::string problem = assembler.finish(tensor.entry.value); !problem.empty()) tensor.fail(problem);
  }

  Checkpoint finish() {
    Checkpoint checkpoint;
    checkpoint.format = CheckpointFormat::kTensorFlowV1;
    checkpoint.source = name_;
    checkpoint.notes = std::move(notes_);
    bool damaged = false;
    for (auto& [name, tensor] : tensors_) {
      assemble(tensor);
      tensor.parts.clear();
      damaged = damaged || !tensor.entry.problem.empty();
      checkpoint.tensors.push_back(std::move(tensor.entry));
    }
    if (!damage_.empty() && !damaged) throw bad_input("{}: {}", name_, damage_);
    return checkpoint;
  }

  Table table_;
  const std::string& name_;
  bool has_meta_ = false;
  std::map<std::string, SavedTensor, std::less<>> tensors_;
  struct Expected {
    SavedTensor* tensor;
    size_t slice;
  };
  std::map<std::string, Expected, std::less<>> expected_;  // by record key
  std::vector<std::string> notes_;
  std::string damage_;
};

}  // namespace

Checkpoint parse_checkpoint_v1(std::span<const std::byte> bytes, const std::string& name) {
  return Reader(bytes, name).read();
}

Checkpoint open_checkpoint_v1(const std::filesystem::path& file) {
  const std::shared_ptr<const MappedFile> mapped = MappedFile::open(file);
  return parse_checkpoint_v1(mapped->bytes(), file.string());
}

void write_checkpoint_v1(const std::filesystem::path& file, const NamedTensors& tensors) {
  std::string metas;
  std::map<std::string, const Tensor*> records;  // by key
  for (const auto& [name, tensor] : tensors) {
    if (!fits_v1(tensor.dtype())) {
      throw bad_input("{}: tensor '{}' is {}, which a V1 checkpoint cannot hold; write V2 (--format tf-v2)",
                      file.string(), name, dtype_name(tensor.dtype()));
    }
    const TensorSlice slice = full_slice(tensor.shape().size());
    std::string meta;
    append_field(meta, 1, name);
    append_field(meta, 2, encode_shape(tensor.shape()));
    append_field(meta, 3, static_cast<uint64_t>(dtype_to_tensorflow(tensor.dtype())));
    append_field(meta, 4, encode_slice(slice));
    append_field(metas, 1, meta);
    records.emplace(slice_key(name, slice), &tensor);
  }
  std::string version;
  append_field(version, 1, static_cast<uint64_t>(kVersion));
  append_field(metas, 2, version);
  std::string header;
  append_field(header, 1, metas);

  AtomicFile target(file);
  TableWriter table(target, kBlockBytes);
  table.add("", header);
  for (const auto& [key, tensor] : records) {
    table.add(key, encode_record(name_in_slice_key(key).value(), *tensor));
  }
  table.finish();
  target.commit();
}

}  // namespace posefix::tensorfile
