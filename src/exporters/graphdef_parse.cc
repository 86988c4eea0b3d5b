// TensorFlow's GraphDef -> OpGraph.
#include <algorithm>
#include <cstring>
#include <set>

#include "base/error.h"
#include "base/file_kind.h"
#include "exporters/op_graph.h"
#include "tensorflow_graph.pb.h"

namespace posefix::exporters {
namespace {

Shape shape_of(const tf::TensorShapeProto& proto, const std::string& where) {
  if (proto.unknown_rank()) throw bad_input("{}: the shape's rank is unknown", where);
  Shape shape;
  for (const auto& dim : proto.dim()) shape.push_back(dim.size());
  return shape;
}

// Values of a repeated field; TensorFlow leaves out repetitions of the last one.
template <typename To, typename Field>
void spread(const Field& field, std::span<To> out, const std::string& where) {
  if (field.empty() && !out.empty()) throw bad_input("{}: the constant has no values", where);
  if (static_cast<size_t>(field.size()) > out.size()) {
    throw bad_input("{}: {} values for {} elements", where, field.size(), out.size());
  }
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<To>(field.Get(static_cast<int>(std::min<size_t>(i, static_cast<size_t>(field.size()) - 1))));
  }
}

template <typename To, typename From>
void from_bytes(const std::string& bytes, std::span<To> out, const std::string& where) {
  if (bytes.size() != out.size() * sizeof(From)) {
    throw bad_input("{}: {} bytes for {} elements of {} bytes", where, bytes.size(), out.size(), sizeof(From));
  }
  for (size_t i = 0; i < out.size(); ++i) {
    From value;
    std::memcpy(&value, bytes.data() + i * sizeof(From), sizeof(From));
    out[i] = static_cast<To>(value);
  }
}

template <typename T>
std::span<T> writable(Tensor& tensor) {
  const std::span<std::byte> bytes = tensor.mutable_bytes();
  return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
}

// `repeated`: elements of the file's constants so far that it does not store.
Tensor constant(const tf::TensorProto& proto, const std::string& where, int64_t& repeated) {
  // A short value list may stand for many elements (the last one repeats): that far, and no further.
  constexpr int64_t kMostRepeated = int64_t{1} << 20;
  const Shape shape = shape_of(proto.tensor_shape(), where);
  const int64_t count = element_count(shape);
  const int64_t stored = static_cast<int64_t>(proto.tensor_content().size()) + proto.float_val_size() +
                         proto.int_val_size() + proto.int64_val_size() + proto.double_val_size();
  if (count > stored && (repeated += count - stored) > kMostRepeated) {
    throw bad_input("{}: with shape {} the file's constants have {} more elements than are stored, expected at most {}",
                    where, to_string(shape), repeated, kMostRepeated);
  }
  const std::string& raw = proto.tensor_content();
  const bool is_raw = !raw.empty();
  switch (proto.dtype()) {
    case tf::DT_FLOAT: {
      Tensor tensor(DType::kF32, shape);
      is_raw ? from_bytes<float, float>(raw, writable<float>(tensor), where)
             : spread(proto.float_val(), writable<float>(tensor), where);
      return tensor;
    }
    case tf::DT_DOUBLE: {
      Tensor tensor(DType::kF32, shape);
      is_raw ? from_bytes<float, double>(raw, writable<float>(tensor), where)
             : spread(proto.double_val(), writable<float>(tensor), where);
      return tensor;
    }
    case tf::DT_INT32: {
      Tensor tensor(DType::kI64, shape);
      is_raw ? from_bytes<int64_t, int32_t>(raw, writable<int64_t>(tensor), where)
             : spread(proto.int_val(), writable<int64_t>(tensor), where);
      return tensor;
    }
    case tf::DT_INT64: {
      Tensor tensor(DType::kI64, shape);
      is_raw ? from_bytes<int64_t, int64_t>(raw, writable<int64_t>(tensor), where)
             : spread(proto.int64_val(), writable<int64_t>(tensor), where);
      return tensor;
    }
    default:
      throw bad_input("{}: constants of type {} are not read; expected float, double, int32 or int64", where,
                      proto.dtype());
  }
}

std::map<std::string, OpAttribute> attributes_of(const tf::NodeDef& node) {
  std::map<std::string, OpAttribute> attributes;
  for (const auto& [key, value] : node.attr()) {
    switch (value.value_case()) {
      case tf::AttrValue::kS:
        attributes.emplace(key, value.s());
        break;
      case tf::AttrValue::kI:
        attributes.emplace(key, value.i());
        break;
      case tf::AttrValue::kF:
        attributes.emplace(key, static_cast<double>(value.f()));
        break;
      case tf::AttrValue::kB:
        attributes.emplace(key, static_cast<int64_t>(value.b()));
        break;
      case tf::AttrValue::kType:
        attributes.emplace(key, static_cast<int64_t>(value.type()));
        break;
      case tf::AttrValue::kList:
        attributes.emplace(key, std::vector<int64_t>(value.list().i().begin(), value.list().i().end()));
        break;
      default:
        break;
    }
  }
  return attributes;
}

// "node:0" is the value "node"; "^node" is a control edge, of no meaning for inference.
std::string value_name(const std::string& input) {
  return input.ends_with(":0") ? input.substr(0, input.size() - 2) : input;
}

void add_node(const tf::NodeDef& node, OpGraph& graph, int64_t& repeated) {
  const std::string where = fmt::format("{}: node '{}' ({})", graph.source, node.name(), node.op());
  if (node.op() == "Const") {
    const auto value = node.attr().find("value");
    if (value == node.attr().end() || !value->second.has_tensor()) throw bad_input("{}: no attribute 'value'", where);
    if (!graph.constants.emplace(node.name(), constant(value->second.tensor(), where, repeated)).second) {
      throw bad_input("{}: the name is taken", where);
    }
    return;
  }
  if (node.op() == "Placeholder") {
    const auto shape = node.attr().find("shape");
    if (shape == node.attr().end() || !shape->second.has_shape()) throw bad_input("{}: no attribute 'shape'", where);
    graph.inputs.push_back({node.name(), shape_of(shape->second.shape(), where)});
    return;
  }
  OpNode result{node.name(), node.op(), {}, {node.name()}, attributes_of(node)};
  for (const std::string& input : node.input()) {
    if (!input.starts_with('^')) result.inputs.push_back(value_name(input));
  }
  graph.nodes.push_back(std::move(result));
}

}  // namespace

OpGraph parse_graphdef(std::string_view bytes, const std::string& source) {
  tf::GraphDef file;
  const bool is_read = bytes.size() <= INT32_MAX && file.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  const std::string_view kind = file_kind(std::as_bytes(std::span(bytes)));
  if ((!is_read || file.node().empty()) && !kind.empty()) {
    throw bad_input("{}: is {}, expected a frozen TensorFlow graph", source, kind);
  }
  if (!is_read)
    throw bad_input("{}: {} bytes that are not a TensorFlow GraphDef, or a damaged one", source, bytes.size());
  if (file.node().empty()) throw bad_input("{}: a GraphDef without nodes; expected a frozen graph", source);
  OpGraph graph;
  graph.dialect = Dialect::kTensorFlow;
  graph.source = source;
  int64_t repeated = 0;
  for (const tf::NodeDef& node : file.node()) add_node(node, graph, repeated);
  graph.finish();
  std::set<std::string_view> read;
  for (const OpNode& node : graph.nodes) read.insert(node.inputs.begin(), node.inputs.end());
  for (const OpNode& node : graph.nodes) {
    if (!read.contains(node.name)) graph.outputs.push_back(node.name);
  }
  return graph;
}

}  // namespace posefix::exporters
