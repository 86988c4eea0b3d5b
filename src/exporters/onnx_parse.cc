// ONNX's ModelProto -> OpGraph.
#include <cstring>

#include "base/error.h"
#include "exporters/op_graph.h"
#include "onnx_model.pb.h"

namespace posefix::exporters {
namespace {

constexpr int32_t kFloat = 1;
constexpr int32_t kInt32 = 6;
constexpr int32_t kInt64 = 7;
constexpr int32_t kDouble = 11;

template <typename To, typename From, typename Field>
Tensor converted(DType dtype, const Shape& shape, const std::string& raw, const Field& field,
                 const std::string& where) {
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

Tensor constant(const onnx::TensorProto& proto, const std::string& where) {
  if (proto.data_location() != 0) throw bad_input("{}: external data is not read; save the model in one file", where);
  const Shape shape(proto.dims().begin(), proto.dims().end());
  const std::string& raw = proto.raw_data();
  switch (proto.data_type()) {
    case kFloat:
      return converted<float, float>(DType::kF32, shape, raw, proto.float_data(), where);
    case kDouble:
      return converted<float, double>(DType::kF32, shape, raw, proto.double_data(), where);
    case kInt32:
      return converted<int64_t, int32_t>(DType::kI64, shape, raw, proto.int32_data(), where);
    case kInt64:
      return converted<int64_t, int64_t>(DType::kI64, shape, raw, proto.int64_data(), where);
    default:
      throw bad_input("{}: tensors of type {} are not read; expected float, double, int32 or int64", where,
                      proto.data_type());
  }
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

void add_node(const onnx::NodeProto& proto, OpGraph& graph) {
  if (proto.output().empty())
    throw bad_input("{}: node '{}' ({}) has no output", graph.source, proto.name(), proto.op_type());
  const std::string where = fmt::format("{}: node '{}' ({})", graph.source, proto.output(0), proto.op_type());
  if (!proto.domain().empty() && proto.domain() != "ai.onnx") {
    throw bad_input("{}: operators of domain '{}' are not read", where, proto.domain());
  }
  if (proto.op_type() == "Constant") {
    for (const onnx::AttributeProto& attribute : proto.attribute()) {
      if (attribute.name() == "value" && attribute.has_t()) {
        if (!graph.constants.emplace(proto.output(0), constant(attribute.t(), where)).second) {
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
  for (const onnx::AttributeProto& attribute : proto.attribute()) add_attribute(attribute, node);
  graph.nodes.push_back(std::move(node));
}

}  // namespace

OpGraph parse_onnx(std::string_view bytes, const std::string& source) {
  onnx::ModelProto model;
  if (bytes.size() > INT32_MAX || !model.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    throw bad_input("{}: not an ONNX model, or damaged", source);
  }
  if (model.graph().node().empty()) throw bad_input("{}: an ONNX model without nodes", source);
  OpGraph graph;
  graph.dialect = Dialect::kOnnx;
  graph.source = source;
  for (const auto& entry : model.metadata_props()) graph.metadata[entry.key()] = entry.value();
  for (const onnx::TensorProto& tensor : model.graph().initializer()) {
    const std::string where = fmt::format("{}: initializer '{}'", source, tensor.name());
    if (!graph.constants.emplace(tensor.name(), constant(tensor, where)).second) {
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
  for (const onnx::NodeProto& node : model.graph().node()) add_node(node, graph);
  for (const onnx::ValueInfoProto& output : model.graph().output()) graph.outputs.push_back(output.name());
  graph.finish();
  return graph;
}

}  // namespace posefix::exporters
