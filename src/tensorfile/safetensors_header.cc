#include "tensorfile/safetensors_header.h"

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/error.h"

namespace posefix::tensorfile {
namespace {

using Json = nlohmann::json;

struct DTypeRow {
  DType dtype;
  std::string_view name;
};
constexpr std::array<DTypeRow, 14> kDTypes{{{DType::kF32, "F32"},
                                            {DType::kF64, "F64"},
                                            {DType::kF16, "F16"},
                                            {DType::kBF16, "BF16"},
                                            {DType::kI8, "I8"},
                                            {DType::kI16, "I16"},
                                            {DType::kI32, "I32"},
                                            {DType::kI64, "I64"},
                                            {DType::kU8, "U8"},
                                            {DType::kU16, "U16"},
                                            {DType::kU32, "U32"},
                                            {DType::kU64, "U64"},
                                            {DType::kBool, "BOOL"},
                                            {DType::kComplex64, "C64"}}};

std::optional<DType> dtype_of(std::string_view name) {
  for (const DTypeRow& row : kDTypes) {
    if (row.name == name) return row.dtype;
  }
  return std::nullopt;
}

// Receives nlohmann's SAX events; one level of object for the tensors, one for a tensor's fields or the metadata.
class HeaderParser final : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderParser(const std::string& file) : file_(file) {}
  SafeTensorsHeader take() { return std::move(header_); }

  bool null() override { return unexpected("null"); }
  bool boolean(bool /*value*/) override { return unexpected("a boolean"); }
  bool number_integer(number_integer_t /*value*/) override { return unexpected("a negative number"); }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override {
    return unexpected("a number that is no integer");
  }
  bool binary(binary_t& /*value*/) override { return unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (!in_array_) return unexpected("a number");
    if (value > static_cast<uint64_t>(INT64_MAX)) {
      throw bad_input("{}: tensor '{}': {} in '{}' does not fit in 63 bits", file_, entry_.name, value, field_);
    }
    if (field_ == "shape") {
      entry_.shape.push_back(static_cast<int64_t>(value));
    } else {
      if (offsets_.size() == 2) {
        throw bad_input("{}: tensor '{}': 'data_offsets' has more than two numbers", file_, entry_.name);
      }
      offsets_.push_back(value);
    }
    return true;
  }

  bool string(string_t& value) override {
    if (depth_ == 2 && in_metadata_) {
      header_.metadata[field_] = value;
      return true;
    }
    if (depth_ != 2 || field_ != "dtype") return unexpected("a string");
    const std::optional<DType> dtype = dtype_of(value);
    if (!dtype) {
      throw bad_input("{}: tensor '{}': type '{}' is unknown; convert the file to F32, F16, BF16 or an integer type",
                      file_, entry_.name, value);
    }
    entry_.dtype = *dtype;
    return true;
  }

  bool start_object(size_t /*size*/) override {
    if (in_array_ || depth_ == 2) return unexpected("an object");
    if (depth_ == 1) {
      fields_.clear();
      if (in_metadata_ = key_ == "__metadata__"; !in_metadata_) {
        entry_ = SafeTensorsEntry{};
        entry_.name = key_;
        offsets_.clear();
      }
    }
    ++depth_;
    return true;
  }

  bool key(string_t& value) override {
    std::set<std::string>& seen = depth_ == 1 ? names_ : fields_;
    if (!seen.insert(value).second) {
      throw bad_input("{}: the header names '{}' twice{}", file_, value,
                      depth_ == 2 ? " in the entry of '" + key_ + "'" : "");
    }
    if (depth_ == 1) {
      key_ = value;
    } else {
      field_ = value;
      if (!in_metadata_ && field_ != "dtype" && field_ != "shape" && field_ != "data_offsets") {
        throw bad_input("{}: tensor '{}': unknown field '{}', expected dtype, shape and data_offsets", file_, key_,
                        field_);
      }
    }
    return true;
  }

  bool end_object() override {
    if (--depth_ == 1 && !in_metadata_) finish_entry();
    return true;
  }

  bool start_array(size_t /*size*/) override {
    if (depth_ != 2 || in_metadata_ || in_array_ || field_ == "dtype") return unexpected("a list");
    in_array_ = true;
    return true;
  }
  bool end_array() override {
    in_array_ = false;
    return true;
  }

  bool parse_error(size_t position, const std::string& token, const nlohmann::detail::exception& error) override {
    (void)token;
    throw bad_input("{}: the header is not JSON at byte {}: {}; the file is damaged or not safetensors", file_,
                    8 + position, error.what());
  }

 private:
  bool unexpected(const char* what) {
    if (depth_ == 0) throw bad_input("{}: the header (byte 8) is {}, expected an object", file_, what);
    if (depth_ == 1) throw bad_input("{}: the header's entry '{}' is {}, expected an object", file_, key_, what);
    if (in_metadata_) throw bad_input("{}: metadata '{}' is {}, expected a string", file_, field_, what);
    throw bad_input("{}: tensor '{}': '{}' holds {}", file_, key_, field_, what);
  }

  void finish_entry() {
    for (const char* field : {"dtype", "shape", "data_offsets"}) {
      if (!fields_.contains(field)) throw bad_input("{}: tensor '{}': no field '{}'", file_, entry_.name, field);
    }
    if (offsets_.size() != 2 || offsets_[0] > offsets_[1]) {
      throw bad_input("{}: tensor '{}': 'data_offsets' is not [begin, end]", file_, entry_.name);
    }
    entry_.begin = offsets_[0];
    entry_.end = offsets_[1];
    int64_t bytes = static_cast<int64_t>(dtype_size(entry_.dtype));
    for (int64_t dim : entry_.shape) {
      if (__builtin_mul_overflow(bytes, dim, &bytes)) {
        throw bad_input("{}: tensor '{}': the size of shape {} overflows 64 bits", file_, entry_.name,
                        to_string(entry_.shape));
      }
    }
    if (static_cast<uint64_t>(bytes) != entry_.end - entry_.begin) {
      throw bad_input("{}: tensor '{}' at data offset {}: {} {} needs {} bytes, 'data_offsets' give it {}", file_,
                      entry_.name, entry_.begin, safetensors_dtype(entry_.dtype), to_string(entry_.shape), bytes,
                      entry_.end - entry_.begin);
    }
    header_.entries.push_back(std::move(entry_));
  }

  const std::string& file_;
  SafeTensorsHeader header_;
  std::set<std::string> names_;
  std::set<std::string> fields_;
  std::string key_;
  std::string field_;
  SafeTensorsEntry entry_;
  std::vector<uint64_t> offsets_;
  int depth_ = 0;
  bool in_metadata_ = false;
  bool in_array_ = false;
};

}  // namespace

SafeTensorsHeader parse_safetensors_header(std::string_view json, const std::string& file) {
  HeaderParser parser(file);
  Json::sax_parse(json, &parser);
  return parser.take();
}

std::string_view safetensors_dtype(DType dtype) {
  for (const DTypeRow& row : kDTypes) {
    if (row.dtype == dtype) return row.name;
  }
  return "";
}

}  // namespace posefix::tensorfile
