#include "exporters/onnx_file.h"

#include "base/error.h"
#include "exporters/network_parts.h"

namespace posefix::exporters {
namespace {

constexpr int32_t kFloat = 1;
constexpr int32_t kInt64 = 7;

}  // namespace

OnnxFile::OnnxFile(int64_t opset, int64_t batch) : batch_(batch) {
  model_.set_ir_version(opset < 15 ? 7 : 8);
  model_.set_producer_name("posefix");
  model_.add_opset_import()->set_domain("");
  model_.mutable_opset_import(0)->set_version(opset);
  model_.mutable_graph()->set_name("posefix");
}

void OnnxFile::property(const std::string& key, const std::string& value) {
  onnx::StringStringEntryProto& entry = *model_.add_metadata_props();
  entry.set_key(key);
  entry.set_value(value);
}

void OnnxFile::take_name(const std::string& name) {
  if (!names_.insert(name).second) throw bad_input("the name '{}' is taken", name);
}

std::string OnnxFile::input(const std::string& name, const Shape& shape) {
  take_name(name);
  set_type(*model_.mutable_graph()->add_input(), name, shape);
  return name;
}

void OnnxFile::output(const std::string& name, const Shape& shape) {
  set_type(*model_.mutable_graph()->add_output(), name, shape);
}

void OnnxFile::set_type(onnx::ValueInfoProto& info, const std::string& name, const Shape& shape) const {
  info.set_name(name);
  onnx::TypeProto::Tensor& tensor = *info.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(kFloat);
  for (size_t i = 0; i < shape.size(); ++i) {
    auto& dim = *tensor.mutable_shape()->add_dim();
    if (i == 0 && batch_ == 0) {
      dim.set_dim_param("B");
    } else {
      dim.set_dim_value(i == 0 ? batch_ : shape[i]);
    }
  }
}

std::string OnnxFile::op(const std::string& type, const std::string& name, const std::vector<std::string>& inputs,
                         const std::vector<OnnxAttribute>& attributes) {
  take_name(name);
  onnx::NodeProto& node = *model_.mutable_graph()->add_node();
  node.set_op_type(type);
  node.set_name(name);
  node.add_output(name);
  for (const std::string& input : inputs) node.add_input(input);
  for (const OnnxAttribute& attribute : attributes) {
    onnx::AttributeProto& proto = *node.add_attribute();
    proto.set_name(attribute.name);
    if (attribute.is_list) {
      proto.set_type(onnx::AttributeProto::INTS);
      for (const int64_t value : attribute.ints) proto.add_ints(value);
    } else {
      proto.set_type(onnx::AttributeProto::INT);
      proto.set_i(attribute.ints[0]);
    }
  }
  return name;
}

std::string OnnxFile::further_output(const std::string& name) {
  take_name(name);
  last_node()->add_output(name);
  return name;
}

onnx::NodeProto* OnnxFile::last_node() {
  onnx::GraphProto& graph = *model_.mutable_graph();
  return graph.node().empty() ? nullptr : graph.mutable_node(graph.node_size() - 1);
}

std::string OnnxFile::constant(const std::string& name, int32_t type, const Shape& shape,
                               std::span<const std::byte> bytes) {
  take_name(name);
  onnx::TensorProto& tensor = *model_.mutable_graph()->add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(type);
  for (const int64_t size : shape) tensor.add_dims(size);
  tensor.set_raw_data(bytes.data(), bytes.size());
  return name;
}

std::string OnnxFile::ints(const std::string& name, const std::vector<int64_t>& values) {
  return constant(name, kInt64, {static_cast<int64_t>(values.size())}, std::as_bytes(std::span(values)));
}

std::string OnnxFile::floats(const std::string& name, const Shape& shape, std::span<const float> values) {
  return constant(name, kFloat, shape, std::as_bytes(values));
}

std::string OnnxFile::scalar(const std::string& name, double value) {
  const auto number = static_cast<float>(value);
  return floats(name, {1}, {&number, 1});
}

std::string OnnxFile::bytes() const { return serialised(model_); }

}  // namespace posefix::exporters
