#include "exporters/graphdef_write.h"

#include <cmath>
#include <cstring>
#include <set>

#include "base/error.h"
#include "exporters/network_parts.h"
#include "tensorflow_graph.pb.h"

namespace posefix::exporters {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Op;
using Ints = std::vector<int32_t>;
using Floats = std::vector<float>;

class Writer {
 public:
  Writer(const Graph& graph, const NamedTensors& weights, const GraphDefOptions& options)
      : graph_(graph), weights_(weights), batch_(options.batch > 0 ? options.batch : -1) {}

  std::string run() {
    const NodeId coords = graph_.find("coords_heatmap_px");
    for (const NodeId id : needed_for(graph_, coords)) {
      if (id == coords) continue;
      try {
        value_[id] = write_node(id);
      } catch (const Error& error) {
        throw error.within(fmt::format("node '{}'", graph_.node(id).name));
      }
    }
    write_soft_argmax(graph_.node(coords));
    constexpr int kProducer = 1087;  // a GraphDef version of TensorFlow 1.15's time and later
    file_.mutable_versions()->set_producer(kProducer);
    return serialised(file_);
  }

 private:
  // Nodes and their attributes.
  tf::NodeDef& node(const std::string& op, const std::string& name, const std::vector<std::string>& inputs) {
    if (!names_.insert(name).second) throw bad_input("the name '{}' is taken", name);
    tf::NodeDef& def = *file_.add_node();
    def.set_name(name);
    def.set_op(op);
    for (const std::string& input : inputs) def.add_input(input);
    return def;
  }
  static void set_type(tf::NodeDef& def, const char* key, tf::DataType type) {
    (*def.mutable_attr())[key].set_type(type);
  }
  static void set_text(tf::NodeDef& def, const char* key, const char* text) { (*def.mutable_attr())[key].set_s(text); }
  static void set_flag(tf::NodeDef& def, const char* key, bool value) { (*def.mutable_attr())[key].set_b(value); }
  static void set_list(tf::NodeDef& def, const char* key, const std::vector<int64_t>& values) {
    tf::AttrValue::ListValue& list = *(*def.mutable_attr())[key].mutable_list();
    for (const int64_t value : values) list.add_i(value);
  }
  static void set_shape(tf::TensorShapeProto& proto, const Shape& shape) {
    for (const int64_t size : shape) proto.add_dim()->set_size(size);
  }

  // A node with T = float; returns its name.
  std::string op(const std::string& type, const std::string& name, const std::vector<std::string>& inputs) {
    set_type(node(type, name, inputs), "T", tf::DT_FLOAT);
    return name;
  }

  std::string constant(const std::string& name, tf::DataType type, const Shape& shape, const void* data, size_t bytes) {
    tf::NodeDef& def = node("Const", name, {});
    set_type(def, "dtype", type);
    tf::TensorProto& tensor = *(*def.mutable_attr())["value"].mutable_tensor();
    tensor.set_dtype(type);
    set_shape(*tensor.mutable_tensor_shape(), shape);
    tensor.set_tensor_content(data, bytes);
    return name;
  }
  std::string ints(const std::string& name, const Shape& shape, const Ints& values) {
    return constant(name, tf::DT_INT32, shape, values.data(), values.size() * sizeof(int32_t));
  }
  std::string floats(const std::string& name, const Shape& shape, const Floats& values) {
    return constant(name, tf::DT_FLOAT, shape, values.data(), values.size() * sizeof(float));
  }

  std::string reshape(const std::string& name, const std::string& x, const Ints& shape) {
    const std::string size = ints(name + "/shape", {static_cast<int64_t>(shape.size())}, shape);
    op("Reshape", name, {x, size});
    set_type(*file_.mutable_node(file_.node_size() - 1), "Tshape", tf::DT_INT32);
    return name;
  }
  std::string sum(const std::string& name, const std::string& x, int32_t axis, bool keep) {
    const std::string axes = ints(name + "/axes", {1}, {axis});
    op("Sum", name, {x, axes});
    tf::NodeDef& def = *file_.mutable_node(file_.node_size() - 1);
    set_type(def, "Tidx", tf::DT_INT32);
    set_flag(def, "keep_dims", keep);
    return name;
  }
  std::string concat(const std::string& name, std::vector<std::string> parts, int32_t axis) {
    const auto count = static_cast<int64_t>(parts.size());
    parts.push_back(ints(name + "/axis", {}, {axis}));
    op("ConcatV2", name, parts);
    tf::NodeDef& def = *file_.mutable_node(file_.node_size() - 1);
    set_type(def, "Tidx", tf::DT_INT32);
    (*def.mutable_attr())["N"].set_i(count);
    return name;
  }
  std::string pad(const std::string& name, const std::string& x, const std::array<int64_t, 4>& pads) {
    Ints values(8, 0);
    for (size_t i = 0; i < 4; ++i) values[2 + i] = static_cast<int32_t>(pads[i]);
    const std::string amounts = ints(name + "/paddings", {4, 2}, values);
    op("Pad", name, {x, amounts});
    set_type(*file_.mutable_node(file_.node_size() - 1), "Tpaddings", tf::DT_INT32);
    return name;
  }

  int32_t batch32() const { return static_cast<int32_t>(batch_); }
  const std::string& in(const Node& n, size_t i) const { return value_.at(n.inputs.at(i)); }

  std::string write_node(NodeId id) {
    const Node& n = graph_.node(id);
    switch (n.op) {
      case Op::kInput:
        return write_input(n);
      case Op::kWeight:
        return write_weight(n);
      case Op::kRenderPose:
        return write_rendering(n);
      case Op::kConcat: {
        std::vector<std::string> parts;
        for (size_t i = 0; i < n.inputs.size(); ++i) parts.push_back(in(n, i));
        return concat(n.name, parts, 3);
      }
      case Op::kPad:
        return pad(n.name, in(n, 0), n.attrs.pads);
      case Op::kConv2d:
        return write_convolution(n);
      case Op::kConvTranspose2d:
        return write_transposed_convolution(n);
      case Op::kBatchNorm:
        return write_batch_norm(n);
      case Op::kBiasAdd:
        return op("BiasAdd", n.name, {in(n, 0), in(n, 1)});
      case Op::kRelu:
        return op("Relu", n.name, {in(n, 0)});
      case Op::kMaxPool:
        return write_max_pool(n);
      case Op::kAdd:
        return op("Add", n.name, {in(n, 0), in(n, 1)});
      default:
        throw bad_input("{} has no counterpart in a frozen graph here", graph::schema(n.op).name);
    }
  }

  std::string write_input(const Node& n) {
    std::string name = n.name == "image" ? "Placeholder" : n.name == "pose" ? "Placeholder_2" : "Placeholder_4";
    tf::NodeDef& def = node("Placeholder", name, {});
    set_type(def, "dtype", tf::DT_FLOAT);
    Shape shape = n.type.shape;
    shape[0] = batch_;
    set_shape(*(*def.mutable_attr())["shape"].mutable_shape(), shape);
    return name;
  }

  std::string write_weight(const Node& n) {
    const Tensor value = weight_of(n, weights_);
    return constant(n.name, tf::DT_FLOAT, value.shape(), value.bytes().data(), value.bytes().size());
  }

  // One coordinate of the pose as [B,1,1,K]: Mul with (1,0) or (0,1), Sum, Reshape; slicing is not among the operators.
  std::string coordinate(const std::string& name, const std::string& pose, int32_t joints, bool y) {
    const std::string pick = floats(name + "/pick", {1, 1, 2}, {y ? 0.0F : 1.0F, y ? 1.0F : 0.0F});
    const std::string picked = op("Mul", name + "/mul", {pose, pick});
    return reshape(name, sum(name + "/sum", picked, 2, false), {batch32(), 1, 1, joints});
  }
  // (pixel - coordinate)^2 along one axis.
  std::string squared_distance(const std::string& name, const std::string& coord, int64_t size, const Shape& shape) {
    const std::string grid = floats(name + "/grid", shape, positions(size));
    return op("Square", name, {op("Sub", name + "/sub", {grid, coord})});
  }
  std::string write_rendering(const Node& n) {
    const auto joints = static_cast<int32_t>(n.type.shape[3]);
    const std::string& base = n.name;
    const std::string x = coordinate(base + "/x", in(n, 0), joints, false);
    const std::string y = coordinate(base + "/y", in(n, 0), joints, true);
    const std::string dx = squared_distance(base + "/dx", x, n.attrs.width, {1, 1, n.attrs.width, 1});
    const std::string dy = squared_distance(base + "/dy", y, n.attrs.height, {1, n.attrs.height, 1, 1});
    const auto factor = static_cast<float>(-1 / (2 * n.attrs.sigma * n.attrs.sigma));
    const std::string distance = op("Add", base + "/distance", {dx, dy});
    const std::string scaled = op("Mul", base + "/scaled", {distance, floats(base + "/factor", {}, {factor})});
    const std::string valid = reshape(base + "/valid", in(n, 1), {batch32(), 1, 1, joints});
    const std::string masked = op("Mul", base + "/masked", {op("Exp", base + "/exp", {scaled}), valid});
    return op("Mul", base, {masked, floats(base + "/peak", {}, {255.0F})});
  }

  static void set_window(tf::NodeDef& def, const char* padding, int64_t stride) {
    set_text(def, "padding", padding);
    set_text(def, "data_format", "NHWC");
    set_list(def, "strides", {1, stride, stride, 1});
  }

  std::string write_convolution(const Node& n) {
    const Shape& filter = graph_.node(n.inputs.at(1)).type.shape;
    const auto& p = n.attrs.pads;
    const bool no_pads = p == std::array<int64_t, 4>{0, 0, 0, 0};
    const bool same = n.attrs.stride == 1 && p[0] == (filter[0] - 1) / 2 && p[0] + p[1] == filter[0] - 1 &&
                      p[2] == (filter[1] - 1) / 2 && p[2] + p[3] == filter[1] - 1;
    std::string x = in(n, 0);
    if (!no_pads && !same) x = pad(n.name + "/Pad", x, p);
    const bool fused = n.attrs.has_bias || n.attrs.has_residual || n.attrs.relu;
    std::string name = fused ? n.name + "/conv" : n.name;
    op("Conv2D", name, {x, in(n, 1)});
    tf::NodeDef& def = *file_.mutable_node(file_.node_size() - 1);
    set_window(def, same && !no_pads ? "SAME" : "VALID", n.attrs.stride);
    set_list(def, "dilations", {1, 1, 1, 1});
    return write_fused(n, name);
  }

  // Bias, residual and ReLU that a pass has pulled into the convolution.
  std::string write_fused(const Node& n, std::string name) {
    const auto next = [&](const char* suffix, bool last) { return last ? n.name : n.name + suffix; };
    if (n.attrs.has_bias) {
      name = op("BiasAdd", next("/bias", !n.attrs.has_residual && !n.attrs.relu), {name, in(n, 2)});
    }
    if (n.attrs.has_residual) {
      name = op("Add", next("/residual", !n.attrs.relu), {name, in(n, n.inputs.size() - 1)});
    }
    if (n.attrs.relu) name = op("Relu", n.name, {name});
    return name;
  }

  std::string write_transposed_convolution(const Node& n) {
    const Shape& shape = n.type.shape;
    Ints size{static_cast<int32_t>(shape[1]), static_cast<int32_t>(shape[2])};
    if (batch_ > 0) size = {batch32(), size[0], size[1], static_cast<int32_t>(shape[3])};
    const std::string sizes = ints(n.name + "/input_sizes", {static_cast<int64_t>(size.size())}, size);
    const bool fused = n.attrs.has_bias || n.attrs.relu;
    const std::string name = fused ? n.name + "/conv" : n.name;
    op("Conv2DBackpropInput", name, {sizes, in(n, 1), in(n, 0)});
    tf::NodeDef& def = *file_.mutable_node(file_.node_size() - 1);
    set_window(def, "SAME", n.attrs.stride);
    set_list(def, "dilations", {1, 1, 1, 1});
    return write_fused(n, name);
  }

  std::string write_batch_norm(const Node& n) {
    op("FusedBatchNormV3", n.name, {in(n, 0), in(n, 1), in(n, 2), in(n, 3), in(n, 4)});
    tf::NodeDef& def = *file_.mutable_node(file_.node_size() - 1);
    set_type(def, "U", tf::DT_FLOAT);
    (*def.mutable_attr())["epsilon"].set_f(static_cast<float>(n.attrs.epsilon));
    set_text(def, "data_format", "NHWC");
    set_flag(def, "is_training", false);
    return n.name;
  }

  std::string write_max_pool(const Node& n) {
    std::string x = in(n, 0);
    if (n.attrs.pads != std::array<int64_t, 4>{0, 0, 0, 0}) x = pad(n.name + "/Pad", x, n.attrs.pads);
    op("MaxPool", n.name, {x});
    tf::NodeDef& def = *file_.mutable_node(file_.node_size() - 1);
    set_window(def, "VALID", n.attrs.stride);
    set_list(def, "ksize", {1, n.attrs.kernel, n.attrs.kernel, 1});
    return n.name;
  }

  // [B,h,w,K] -> Transpose, Reshape [B,K,h*w], Softmax, one weighted Sum a coordinate, ConcatV2 -> mul_15 [B,K,2].
  void write_soft_argmax(const Node& n) {
    const Shape& map = graph_.node(n.inputs.at(0)).type.shape;
    const std::string& base = n.name;
    const std::string order = ints(base + "/perm", {4}, {0, 3, 1, 2});
    const std::string moved = op("Transpose", base + "/transpose", {in(n, 0), order});
    set_type(*file_.mutable_node(file_.node_size() - 1), "Tperm", tf::DT_INT32);
    const int64_t pixels = map[1] * map[2];
    const std::string flat =
        reshape(base + "/flat", moved, {batch32(), static_cast<int32_t>(map[3]), static_cast<int32_t>(pixels)});
    const std::string weights = op("Softmax", base + "/softmax", {flat});
    std::vector<std::string> parts;
    for (const bool is_y : {false, true}) {
      const std::string name = base + (is_y ? "/y" : "/x");
      const std::string grid = floats(name + "/grid", {1, 1, pixels}, pixel_positions(map[1], map[2], is_y));
      parts.push_back(sum(name, op("Mul", name + "/mul", {weights, grid}), 2, true));
    }
    op("Mul", "mul_15", {concat(base, parts, 2), floats("mul_15/y", {}, {1.0F})});
  }

  const Graph& graph_;
  const NamedTensors& weights_;
  int64_t batch_;
  tf::GraphDef file_;
  std::set<std::string> names_;
  std::map<NodeId, std::string> value_;
};

}  // namespace

std::string encode_graphdef(const Graph& graph, const NamedTensors& weights, const GraphDefOptions& options) {
  return Writer(graph, weights, options).run();
}

}  // namespace posefix::exporters
