#include "exporters/onnx_write.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "onnx_model.pb.h"

namespace posefix::exporters {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Op;
using Names = std::vector<std::string>;
using Ints = std::vector<int64_t>;
using Floats = std::vector<float>;

constexpr int32_t kFloat = 1;
constexpr int32_t kInt64 = 7;

class Writer {
 public:
  Writer(const Graph& graph, const NamedTensors& weights, const OnnxOptions& options)
      : graph_(graph), weights_(weights), options_(options), file_(*model_.mutable_graph()) {}

  std::string run() {
    check_options();
    model_.set_ir_version(options_.opset < 15 ? 7 : 8);
    model_.set_producer_name("posefix");
    model_.add_opset_import()->set_domain("");
    model_.mutable_opset_import(0)->set_version(options_.opset);
    file_.set_name("posefix");
    for (const auto& [key, value] : options_.metadata) property(key, value);
    if (options_.flip) property("posefix.flip", "true");
    write_inputs();
    const NodeId logits = graph_.node(graph_.find("coords_heatmap_px")).inputs.at(0);
    for (const NodeId id : needed_for(logits)) {
      if (value_.contains(id)) continue;
      try {
        value_[id] = write_node(id);
      } catch (const Error& error) {
        throw error.within(fmt::format("node '{}'", graph_.node(id).name));
      }
    }
    if (options_.decode) {
      write_decoding(graph_.node(logits), value_.at(logits));
    } else {
      op("Transpose", "logits_nhwc", {value_.at(logits)}, {{"perm", {0, 2, 3, 1}}});
      output("logits_nhwc", graph_.node(logits).type.shape);
    }
    return model_.SerializeAsString();
  }

 private:
  void check_options() const {
    if (options_.opset < 13 || options_.opset > 17) throw bad_input("opset {}: expected 13 to 17", options_.opset);
    if (options_.batch < 0) throw bad_input("batch {}: expected a positive number, or 0 for any", options_.batch);
    if (!options_.flip) return;
    if (!options_.decode) throw bad_input("the flip test merges coordinates: it needs the decoding in the graph");
    const int64_t joints = graph_.node(graph_.find("pose")).type.shape.at(1);
    if (static_cast<int64_t>(options_.mirror.size()) != joints) {
      throw bad_input("the flip test needs the mirror partner of {} joints, got {}", joints, options_.mirror.size());
    }
  }

  // Everything that `id` depends on, in order.
  std::set<NodeId> needed_for(NodeId id) const {
    std::set<NodeId> needed{id};
    for (NodeId i = id; i >= 0; --i) {
      if (!needed.contains(i)) continue;
      for (const NodeId input : graph_.node(i).inputs) needed.insert(input);
    }
    return needed;
  }

  void property(const std::string& key, const std::string& value) {
    onnx::StringStringEntryProto& entry = *model_.add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  }

  struct Attribute {
    std::string name;
    Ints ints;
    bool is_list = true;
  };
  static Attribute single(const std::string& name, int64_t value) { return {name, {value}, false}; }

  // A node whose value is called `name`; the graph's own names are kept, so names stay unique.
  std::string op(const std::string& type, const std::string& name, const Names& inputs,
                 const std::vector<Attribute>& attributes = {}) {
    if (!names_.insert(name).second) throw bad_input("the name '{}' is taken", name);
    onnx::NodeProto& node = *file_.add_node();
    node.set_op_type(type);
    node.set_name(name);
    node.add_output(name);
    for (const std::string& input : inputs) node.add_input(input);
    for (const Attribute& attribute : attributes) {
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

  std::string constant(const std::string& name, int32_t type, const Shape& shape, const void* data, size_t bytes) {
    if (!names_.insert(name).second) throw bad_input("the name '{}' is taken", name);
    onnx::TensorProto& tensor = *file_.add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(type);
    for (const int64_t size : shape) tensor.add_dims(size);
    tensor.set_raw_data(data, bytes);
    return name;
  }
  std::string ints(const std::string& name, const Ints& values) {
    return constant(name, kInt64, {static_cast<int64_t>(values.size())}, values.data(),
                    values.size() * sizeof(int64_t));
  }
  std::string floats(const std::string& name, const Shape& shape, const Floats& values) {
    return constant(name, kFloat, shape, values.data(), values.size() * sizeof(float));
  }
  std::string scalar(const std::string& name, double value) { return floats(name, {1}, {static_cast<float>(value)}); }

  static void set_type(onnx::ValueInfoProto& info, const std::string& name, const Shape& shape, int64_t batch) {
    info.set_name(name);
    onnx::TypeProto::Tensor& tensor = *info.mutable_type()->mutable_tensor_type();
    tensor.set_elem_type(kFloat);
    for (size_t i = 0; i < shape.size(); ++i) {
      auto& dim = *tensor.mutable_shape()->add_dim();
      if (i == 0 && batch == 0) {
        dim.set_dim_param("B");
      } else {
        dim.set_dim_value(i == 0 ? batch : shape[i]);
      }
    }
  }
  void output(const std::string& name, const Shape& shape) {
    set_type(*file_.add_output(), name, shape, options_.batch);
  }

  // Inputs; for the flip test each is followed by its mirror image in one batch of twice the size.
  void write_inputs() {
    for (const NodeId id : graph_.all(Op::kInput)) {
      const Node& n = graph_.node(id);
      names_.insert(n.name);
      set_type(*file_.add_input(), n.name, n.type.shape, options_.batch);
      std::string value = n.name;
      if (options_.flip) value = op("Concat", n.name + "_of_both", {n.name, mirrored(n)}, {single("axis", 0)});
      if (n.name == "image") value = op("Transpose", "image_nchw", {value}, {{"perm", {0, 3, 1, 2}}});
      value_[id] = value;
    }
  }

  std::string mirrored(const Node& n) {
    const std::string name = n.name + "_mirrored";
    if (n.name == "image") {
      Ints columns;
      for (int64_t x = n.type.shape.at(2); x-- > 0;) columns.push_back(x);
      return op("Gather", name, {n.name, ints("mirror_columns", columns)}, {single("axis", 2)});
    }
    if (n.name == "valid")
      return op("Gather", name, {n.name, ints("mirror_joints", options_.mirror)}, {single("axis", 1)});
    // x -> W-1-x
    const auto width = static_cast<float>(graph_.node(graph_.find("image")).type.shape.at(2));
    floats("mirror_sign", {1, 1, 2}, {-1, 1});
    floats("mirror_offset", {1, 1, 2}, {width - 1, 0});
    return mirrored_coordinates(name, n.name, "mirror_joints_of_pose");
  }
  std::string mirrored_coordinates(const std::string& name, const std::string& coords, const std::string& joints) {
    const std::string swapped =
        op("Gather", name + "/swapped", {coords, ints(joints, options_.mirror)}, {single("axis", 1)});
    return op("Add", name, {op("Mul", name + "/negated", {swapped, "mirror_sign"}), "mirror_offset"});
  }

  const std::string& in(const Node& n, size_t i) const { return value_.at(n.inputs.at(i)); }

  std::string write_node(NodeId id) {
    const Node& n = graph_.node(id);
    switch (n.op) {
      case Op::kWeight:
        return write_weight(n, n.type.shape.size() == 4 ? Ints{3, 2, 0, 1} : Ints{});  // HWIO -> OIHW
      case Op::kRenderPose:
        return write_rendering(n);
      case Op::kConcat: {
        Names parts;
        for (size_t i = 0; i < n.inputs.size(); ++i) parts.push_back(in(n, i));
        return op("Concat", n.name, parts, {single("axis", 1)});
      }
      case Op::kPad: {
        const auto& p = n.attrs.pads;
        const std::string pads = ints(n.name + "/pads", {0, 0, p[0], p[2], 0, 0, p[1], p[3]});
        return op("Pad", n.name, {in(n, 0), pads});
      }
      case Op::kConv2d:
      case Op::kConvTranspose2d:
        return write_convolution(n);
      case Op::kBatchNorm:
        return write_batch_norm(n);
      case Op::kBiasAdd:
        return write_bias(n);
      case Op::kRelu:
        return op("Relu", n.name, {in(n, 0)});
      case Op::kMaxPool:
        return write_max_pool(n);
      case Op::kAdd:
        return op("Add", n.name, {in(n, 0), in(n, 1)});
      default:
        throw bad_input("{} has no counterpart in an ONNX model here", graph::schema(n.op).name);
    }
  }

  // HWIO -> OIHW; a transposed convolution's [h,w,out,in] becomes [in,out,h,w] by the same reordering.
  std::string write_weight(const Node& n, const Ints& order) {
    const auto found = weights_.find(n.name);
    if (found == weights_.end()) throw bad_input("the weights do not hold it");
    const Tensor value = found->second.to_f32();
    if (value.shape() != n.type.shape) {
      throw bad_input("its value is {}, expected {}", posefix::to_string(value.shape()),
                      posefix::to_string(n.type.shape));
    }
    if (order.empty()) return constant(n.name, kFloat, value.shape(), value.bytes().data(), value.bytes().size());
    const Shape& s = value.shape();
    Floats moved(static_cast<size_t>(value.count()));
    const std::span<const float> from = value.f32();
    size_t at = 0;
    for (int64_t o = 0; o < s[3]; ++o) {
      for (int64_t i = 0; i < s[2]; ++i) {
        for (int64_t tap = 0; tap < s[0] * s[1]; ++tap)
          moved[at++] = from[static_cast<size_t>((tap * s[2] + i) * s[3] + o)];
      }
    }
    return floats(n.name, {s[3], s[2], s[0], s[1]}, moved);
  }

  std::string squared_distance(const std::string& name, const std::string& coord, int64_t size, const Shape& shape) {
    Floats pixels(static_cast<size_t>(size));
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<float>(i);
    const std::string difference = op("Sub", name + "/sub", {floats(name + "/grid", shape, pixels), coord});
    return op("Mul", name, {difference, difference});
  }
  std::string write_rendering(const Node& n) {
    const std::string& base = n.name;
    const std::string per_joint = ints(base + "/per_joint", {-1, n.type.shape[3], 1, 1});
    const auto coordinate = [&](const char* axis, int64_t index) {
      const std::string name = base + "/" + axis;
      const std::string taken =
          op("Gather", name + "/gather", {in(n, 0), ints(name + "/index", {index})}, {single("axis", 2)});
      return op("Reshape", name, {taken, per_joint});
    };
    const std::string dx = squared_distance(base + "/dx", coordinate("x", 0), n.attrs.width, {1, 1, 1, n.attrs.width});
    const std::string dy =
        squared_distance(base + "/dy", coordinate("y", 1), n.attrs.height, {1, 1, n.attrs.height, 1});
    const std::string distance = op("Add", base + "/distance", {dx, dy});
    const double factor = -1 / (2 * n.attrs.sigma * n.attrs.sigma);
    const std::string scaled = op("Mul", base + "/scaled", {distance, scalar(base + "/factor", factor)});
    const std::string valid = op("Reshape", base + "/valid", {in(n, 1), per_joint});
    const std::string masked = op("Mul", base + "/masked", {op("Exp", base + "/exp", {scaled}), valid});
    return op("Mul", base, {masked, scalar(base + "/peak", 255)});
  }

  std::string write_convolution(const Node& n) {
    const Shape& filter = graph_.node(n.inputs.at(1)).type.shape;
    const bool transposed = n.op == Op::kConvTranspose2d;
    Ints pads{n.attrs.pads[0], n.attrs.pads[2], n.attrs.pads[1], n.attrs.pads[3]};
    if (transposed) {  // TensorFlow's SAME: the result is stride times the input
      const int64_t tall = filter[0] - n.attrs.stride;
      const int64_t wide = filter[1] - n.attrs.stride;
      pads = {tall / 2, wide / 2, tall - tall / 2, wide - wide / 2};
    }
    Names inputs{in(n, 0), in(n, 1)};
    if (n.attrs.has_bias) inputs.push_back(in(n, 2));
    const bool more = n.attrs.has_residual || n.attrs.relu;
    std::string name =
        op(transposed ? "ConvTranspose" : "Conv", more ? n.name + "/conv" : n.name, inputs,
           {{"kernel_shape", {filter[0], filter[1]}}, {"pads", pads}, {"strides", {n.attrs.stride, n.attrs.stride}}});
    if (n.attrs.has_residual) {
      name = op("Add", n.attrs.relu ? n.name + "/residual" : n.name, {name, in(n, n.inputs.size() - 1)});
    }
    return n.attrs.relu ? op("Relu", n.name, {name}) : name;
  }

  std::string write_batch_norm(const Node& n) {
    op("BatchNormalization", n.name, {in(n, 0), in(n, 1), in(n, 2), in(n, 3), in(n, 4)});
    onnx::AttributeProto& epsilon = *file_.mutable_node(file_.node_size() - 1)->add_attribute();
    epsilon.set_name("epsilon");
    epsilon.set_type(onnx::AttributeProto::FLOAT);
    epsilon.set_f(static_cast<float>(n.attrs.epsilon));
    return n.name;
  }

  // A bias goes into the convolution before it where that has no other reader; else it is an addition.
  std::string write_bias(const Node& n) {
    const Node& before = graph_.node(n.inputs.at(0));
    onnx::NodeProto* last = file_.node().empty() ? nullptr : file_.mutable_node(file_.node_size() - 1);
    int readers = 0;
    for (const Node& other : graph_.nodes())
      readers += static_cast<int>(std::count(other.inputs.begin(), other.inputs.end(), n.inputs[0]));
    if (last != nullptr && readers == 1 && last->output(0) == before.name && last->input_size() == 2 &&
        (last->op_type() == "Conv" || last->op_type() == "ConvTranspose")) {
      last->add_input(in(n, 1));
      return before.name;
    }
    const int64_t channels = n.type.shape.at(3);
    const std::string shape = ints(n.name + "/shape", {1, channels, 1, 1});
    return op("Add", n.name, {in(n, 0), op("Reshape", n.name + "/bias", {in(n, 1), shape})});
  }

  std::string write_max_pool(const Node& n) {
    const auto& p = n.attrs.pads;
    std::string x = in(n, 0);
    if (p != std::array<int64_t, 4>{0, 0, 0, 0}) {
      x = op("Pad", n.name + "/Pad", {x, ints(n.name + "/pads", {0, 0, p[0], p[2], 0, 0, p[1], p[3]})});
    }
    return op("MaxPool", n.name, {x},
              {{"kernel_shape", {n.attrs.kernel, n.attrs.kernel}}, {"strides", {n.attrs.stride, n.attrs.stride}}});
  }

  // Sum over pixels of softmax * weight.
  std::string expectation(const std::string& name, const std::string& softmax, const std::string& weight, bool keep) {
    const std::string product = op("Mul", name + "/mul", {softmax, weight});
    return op("ReduceSum", name, {product, "decode/pixels"}, {single("keepdims", keep ? 1 : 0)});
  }

  void write_decoding(const Node& logits, const std::string& value) {
    const Shape& map = logits.type.shape;  // [B,h,w,K]
    const int64_t pixels = map[1] * map[2];
    const int64_t whole_stride = graph_.node(graph_.find("image")).type.shape.at(1) / map[1];
    const auto stride = static_cast<double>(whole_stride);
    const std::string flat = op("Reshape", "decode/flat", {value, ints("decode/shape", {0, map[3], pixels})});
    const std::string softmax = op("Softmax", "decode/softmax", {flat}, {single("axis", 2)});
    ints("decode/pixels", {2});
    Floats grid_x(static_cast<size_t>(pixels));
    Floats grid_y(static_cast<size_t>(pixels));
    for (size_t i = 0; i < grid_x.size(); ++i) {
      grid_x[i] = static_cast<float>(i % static_cast<size_t>(map[2]));
      const size_t row = i / static_cast<size_t>(map[2]);
      grid_y[i] = static_cast<float>(row);
    }
    const std::string x = expectation("decode/x", softmax, floats("decode/grid_x", {1, 1, pixels}, grid_x), true);
    const std::string y = expectation("decode/y", softmax, floats("decode/grid_y", {1, 1, pixels}, grid_y), true);
    const std::string heatmap_px = op("Concat", "coords_heatmap_px", {x, y}, {single("axis", 2)});
    const std::string factor = scalar("decode/stride", stride);
    const std::string coords = op("Mul", options_.flip ? "coords_of_both" : "coords", {heatmap_px, factor});
    // Spread about the mean, E|p - E p|^2 with the differences taken first: no cancellation.
    const auto squared = [&](const std::string& name, const std::string& grid, const std::string& mean) {
      const std::string difference = op("Sub", name + "/sub", {grid, mean});
      return op("Mul", name, {difference, difference});
    };
    const std::string distance = op(
        "Add", "decode/distance", {squared("decode/dx", "decode/grid_x", x), squared("decode/dy", "decode/grid_y", y)});
    const std::string deviation =
        op("Sqrt", "decode/deviation", {expectation("decode/variance", softmax, distance, false)});
    const std::string spread = op("Mul", options_.flip ? "spread_of_both" : "spread", {deviation, factor});
    if (options_.flip) merge(coords, spread);
    output("coords", {-1, map[3], 2});
    output("spread", {-1, map[3]});
  }

  std::array<std::string, 2> halves(const std::string& value, const std::string& name) {
    op("Split", name + "_first", {value}, {single("axis", 0)});
    file_.mutable_node(file_.node_size() - 1)->add_output(name + "_second");
    names_.insert(name + "_second");
    return {name + "_first", name + "_second"};
  }

  // The mean of the answer and the mirrored picture's answer mirrored back.
  void merge(const std::string& coords, const std::string& spread) {
    const std::string half = scalar("half", 0.5);
    const auto [first, second] = halves(coords, "coords");
    const std::string back = mirrored_coordinates("coords_mirrored_back", second, "mirror_joints_of_coords");
    op("Mul", "coords", {op("Add", "coords_sum", {first, back}), half});
    const auto [spread_first, spread_second] = halves(spread, "spread");
    const std::string swapped =
        op("Gather", "spread_mirrored_back", {spread_second, ints("mirror_joints_of_spread", options_.mirror)},
           {single("axis", 1)});
    op("Mul", "spread", {op("Add", "spread_sum", {spread_first, swapped}), half});
  }

  const Graph& graph_;
  const NamedTensors& weights_;
  const OnnxOptions& options_;
  onnx::ModelProto model_;
  onnx::GraphProto& file_;
  std::set<std::string> names_;
  std::map<NodeId, std::string> value_;
};

}  // namespace

std::string encode_onnx(const Graph& graph, const NamedTensors& weights, const OnnxOptions& options) {
  return Writer(graph, weights, options).run();
}

void write_onnx(const std::filesystem::path& path, const Graph& graph, const NamedTensors& weights,
                const OnnxOptions& options) {
  write_file_atomically(path, encode_onnx(graph, weights, options));
}

}  // namespace posefix::exporters
