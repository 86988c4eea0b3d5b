// ONNX's ModelProto -> OpGraph.
#include <charconv>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/file_kind.h"
#include "exporters/op_graph.h"
#include "onnx_model.pb.h"

namespace posefix::exporters {
namespace {

constexpr int32_t kFloat = 1;
constexpr int32_t kInt32 = 6;
constexpr int32_t kInt64 = 7;
constexpr int32_t kBool = 9;
constexpr int32_t kFloat16 = 10;
constexpr int32_t kDouble = 11;
constexpr int32_t kBfloat16 = 16;

template <typename To, typename From, typename Field>
Tensor converted(DType dtype, const Shape& shape, std::string_view raw, const Field& field, const std::string& where) {
  const auto count = static_cast<size_t>(element_count(shape));
  const size_t stored = raw.empty() ? static_cast<size_t>(field.size()) : raw.size() / sizeof(From);
  if (stored != count || (!raw.empty() && raw.size() % sizeof(From) != 0)) {
    throw bad_input("{}: {} values for shape {}", where, stored, to_string(shape));
  }
  Tensor tensor(dtype, shape);
  const std::span<std::byte> bytes = tensor.mutable_bytes();
  To* out = reinterpret_cast<To*>(bytes.data());
  for (size_t i = 0; i < count; ++i) {
    if (raw.empty()) {
      out[i] = static_cast<To>(field.Get(static_cast<int>(i)));
    } else {
      From value;
      std::memcpy(&value, raw.data() + i * sizeof(From), sizeof(From));
      out[i] = static_cast<To>(value);
    }
  }
  return tensor;
}

uint64_t whole_number(const std::string& text, const std::string& where, const std::string& key) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw bad_input("{}: external data with {} '{}', expected a whole number", where, key, text);
  }
  return value;
}

// Bytes of a tensor that lies in another file, as PyTorch's exporter writes large models.
class ExternalData {
 public:
  explicit ExternalData(std::filesystem::path folder) : folder_(std::move(folder)) {}

  std::string_view bytes(const onnx::TensorProto& proto, const std::string& where) {
    std::string location;
    uint64_t offset = 0;
    std::optional<uint64_t> length;
    for (const auto& entry : proto.external_data()) {
      if (entry.key() == "location") location = entry.value();
      if (entry.key() == "offset") offset = whole_number(entry.value(), where, "offset");
      if (entry.key() == "length") length = whole_number(entry.value(), where, "length");
    }
    if (location.empty() || location == ".." || location.find_first_of(std::string_view("/\\\0", 3)) != location.npos) {
      throw bad_input("{}: external data in '{}', expected the name of a file beside the model", where, location);
    }
    std::shared_ptr<const MappedFile>& file = files_[location];
    if (!file) file = open(location, where);
    const size_t size = file->text().size();
    if (offset > size || length.value_or(0) > size - offset) {
      throw bad_input("{}: {} bytes at byte {} of {}, which ends at byte {}", where, length.value_or(0), offset,
                      location, size);
    }
    return file->text().substr(offset, length.value_or(size - offset));
  }

 private:
  std::shared_ptr<const MappedFile> open(const std::string& location, const std::string& where) const {
    try {
      return MappedFile::open(folder_ / location);
    } catch (const Error& error) {
      throw error.within(where + ": external data");
    }
  }

  std::filesystem::path folder_;
  std::map<std::string, std::shared_ptr<const MappedFile>> files_;
};

Tensor constant(const onnx::TensorProto& proto, const std::string& where, ExternalData& external) {
  const Shape shape(proto.dims().begin(), proto.dims().end());
  const bool is_external = proto.data_location() != 0;
  const std::string_view raw = is_external ? external.bytes(proto, where) : std::string_view(proto.raw_data());
  switch (proto.data_type()) {
    case kFloat:
      return converted<float, float>(DType::kF32, shape, raw, proto.float_data(), where);
    case kDouble:
      return converted<float, double>(DType::kF32, shape, raw, proto.double_data(), where);
    case kInt32:
      return converted<int64_t, int32_t>(DType::kI64, shape, raw, proto.int32_data(), where);
    case kInt64:
      return converted<int64_t, int64_t>(DType::kI64, shape, raw, proto.int64_data(), where);
    case kBool:
      return converted<int64_t, uint8_t>(DType::kI64, shape, raw, proto.int32_data(), where);
    case kFloat16:
      return converted<uint16_t, uint16_t>(DType::kF16, shape, raw, proto.int32_data(), where).to_f32();
    case kBfloat16:
      return converted<uint16_t, uint16_t>(DType::kBF16, shape, raw, proto.int32_data(), where).to_f32();
    default:
      throw bad_input(
          "{}: tensors of type {} are not read; expected float, float16, bfloat16, double, bool, int32 or "
          "int64",
          where, proto.data_type());
  }
}

// The number that ConstantOfShape repeats; 0 is its default.
double repeated_value(const onnx::AttributeProto& attribute, const std::string& where, ExternalData& external) {
  const Tensor value = constant(attribute.t(), where, external);
  if (value.count() != 1) throw bad_input("{}: {} values to repeat, expected one", where, value.count());
  return value.dtype() == DType::kI64 ? static_cast<double>(value.as<int64_t>()[0]) : value.f32()[0];
}

void add_attribute(const onnx::AttributeProto& attribute, OpNode& node) {
  switch (attribute.type()) {
    case onnx::AttributeProto::FLOAT:
      node.attributes.emplace(attribute.name(), static_cast<double>(attribute.f()));
      break;
    case onnx::AttributeProto::INT:
      node.attributes.emplace(attribute.name(), attribute.i());
      break;
    case onnx::AttributeProto::STRING:
      node.attributes.emplace(attribute.name(), attribute.s());
      break;
    case onnx::AttributeProto::INTS:
      node.attributes.emplace(attribute.name(), std::vector<int64_t>(attribute.ints().begin(), attribute.ints().end()));
      break;
    default:
      break;
  }
}

void add_node(const onnx::NodeProto& proto, OpGraph& graph, ExternalData& external) {
  if (proto.output().empty())
    throw bad_input("{}: node '{}' ({}) has no output", graph.source, proto.name(), proto.op_type());
  const std::string where = fmt::format("{}: node '{}' ({})", graph.source, proto.output(0), proto.op_type());
  if (!proto.domain().empty() && proto.domain() != "ai.onnx") {
    throw bad_input("{}: operators of domain '{}' are not read", where, proto.domain());
  }
  if (proto.op_type() == "Constant") {
    for (const onnx::AttributeProto& attribute : proto.attribute()) {
      if (attribute.name() == "value" && attribute.has_t()) {
        if (!graph.constants.emplace(proto.output(0), constant(attribute.t(), where, external)).second) {
          throw bad_input("{}: the name is taken", where);
        }
        return;
      }
    }
    throw bad_input("{}: no attribute 'value'", where);
  }
  OpNode node{proto.output(0), proto.op_type(), {}, {}, {}};
  node.inputs.assign(proto.input().begin(), proto.input().end());
  for (const std::string& output : proto.output()) {
    if (!output.empty()) node.outputs.push_back(output);
  }
  for (const onnx::AttributeProto& attribute : proto.attribute()) {
    const bool is_repeated = proto.op_type() == "ConstantOfShape" && attribute.name() == "value";
    if (is_repeated) node.attributes.emplace("value", repeated_value(attribute, where, external));
    add_attribute(attribute, node);
  }
  graph.nodes.push_back(std::move(node));
}

}  // namespace

OpGraph parse_onnx(std::string_view bytes, const std::string& source) {
  onnx::ModelProto model;
  const bool is_read = bytes.size() <= INT32_MAX && model.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  const std::string_view kind = file_kind(std::as_bytes(std::span(bytes)));
  if ((!is_read || model.graph().node().empty()) && !kind.empty()) {
    throw bad_input("{}: is {}, expected an ONNX model", source, kind);
  }
  if (!is_read) throw bad_input("{}: {} bytes that are not an ONNX model, or a damaged one", source, bytes.size());
  if (model.graph().node().empty()) throw bad_input("{}: an ONNX model without nodes", source);
  ExternalData external(std::filesystem::path(source).parent_path());
  OpGraph graph;
  graph.dialect = Dialect::kOnnx;
  graph.source = source;
  for (const auto& entry : model.metadata_props()) graph.metadata[entry.key()] = entry.value();
  for (const onnx::TensorProto& tensor : model.graph().initializer()) {
    const std::string where = fmt::format("{}: initializer '{}'", source, tensor.name());
    if (!graph.constants.emplace(tensor.name(), constant(tensor, where, external)).second) {
      throw bad_input("{}: the name is taken", where);
    }
  }
  for (const onnx::ValueInfoProto& input : model.graph().input()) {
    if (graph.constants.contains(input.name())) continue;
    Shape shape;
    for (const auto& dim : input.type().tensor_type().shape().dim()) {
      shape.push_back(dim.has_dim_value() ? dim.dim_value() : -1);
    }
    graph.inputs.push_back({input.name(), std::move(shape)});
  }
  for (const onnx::NodeProto& node : model.graph().node()) add_node(node, graph, external);
  for (const onnx::ValueInfoProto& output : model.graph().output()) graph.outputs.push_back(output.name());
  graph.finish();
  return graph;
}

}  // namespace posefix::exporters
