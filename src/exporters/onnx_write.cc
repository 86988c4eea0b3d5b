#include "exporters/onnx_write.h"

#include <algorithm>

#include "base/error.h"
#include "exporters/network_parts.h"
#include "exporters/onnx_decoding.h"
#include "exporters/onnx_file.h"

namespace posefix::exporters {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Op;
using Names = std::vector<std::string>;
using Ints = std::vector<int64_t>;
using Floats = std::vector<float>;

class Writer {
 public:
  Writer(const Graph& graph, const NamedTensors& weights, const OnnxOptions& options)
      : graph_(graph), weights_(weights), options_(options), file_(options.opset, options.batch) {}

  std::string run() {
    check_options();
    for (const auto& [key, value] : options_.metadata) file_.property(key, value);
    if (options_.flip) file_.property("posefix.flip", "true");
    write_inputs();
    const NodeId logits = graph_.node(graph_.find("coords_heatmap_px")).inputs.at(0);
    for (const NodeId id : needed_for(graph_, logits)) {
      if (value_.contains(id)) continue;
      try {
        value_[id] = write_node(id);
      } catch (const Error& error) {
        throw error.within(fmt::format("node '{}'", graph_.node(id).name));
      }
    }
    const Shape& map = graph_.node(logits).type.shape;  // [B,h,w,K]
    if (options_.decode) {
      const int64_t stride = graph_.node(graph_.find("image")).type.shape.at(1) / map[1];
      write_decoding(file_, value_.at(logits), map, static_cast<double>(stride), options_);
    } else {
      file_.op("Transpose", "logits_nhwc", {value_.at(logits)}, {{"perm", {0, 2, 3, 1}}});
      file_.output("logits_nhwc", map);
    }
    return file_.bytes();
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

  // Inputs; for the flip test each is followed by its mirror image in one batch of twice the size.
  void write_inputs() {
    const int64_t width = graph_.node(graph_.find("image")).type.shape.at(2);
    for (const NodeId id : graph_.all(Op::kInput)) {
      const Node& n = graph_.node(id);
      std::string value = file_.input(n.name, n.type.shape);
      if (options_.flip)
        value = file_.op("Concat", n.name + "_of_both", {n.name, write_mirrored(file_, n, width, options_)},
                         {single("axis", 0)});
      if (n.name == "image") value = file_.op("Transpose", "image_nchw", {value}, {{"perm", {0, 3, 1, 2}}});
      value_[id] = value;
    }
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
        return file_.op("Concat", n.name, parts, {single("axis", 1)});
      }
      case Op::kPad: {
        const auto& p = n.attrs.pads;
        const std::string pads = file_.ints(n.name + "/pads", {0, 0, p[0], p[2], 0, 0, p[1], p[3]});
        return file_.op("Pad", n.name, {in(n, 0), pads});
      }
      case Op::kConv2d:
      case Op::kConvTranspose2d:
        return write_convolution(n);
      case Op::kBatchNorm:
        return write_batch_norm(n);
      case Op::kBiasAdd:
        return write_bias(n);
      case Op::kRelu:
        return file_.op("Relu", n.name, {in(n, 0)});
      case Op::kMaxPool:
        return write_max_pool(n);
      case Op::kAdd:
        return file_.op("Add", n.name, {in(n, 0), in(n, 1)});
      default:
        throw bad_input("{} has no counterpart in an ONNX model here", graph::schema(n.op).name);
    }
  }

  // HWIO -> OIHW; a transposed convolution's [h,w,out,in] becomes [in,out,h,w] by the same reordering.
  std::string write_weight(const Node& n, const Ints& order) {
    const Tensor value = weight_of(n, weights_);
    if (order.empty()) return file_.floats(n.name, value.shape(), value.f32());
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
    return file_.floats(n.name, {s[3], s[2], s[0], s[1]}, moved);
  }

  std::string squared_distance(const std::string& name, const std::string& coord, int64_t size, const Shape& shape) {
    const std::string difference =
        file_.op("Sub", name + "/sub", {file_.floats(name + "/grid", shape, positions(size)), coord});
    return file_.op("Mul", name, {difference, difference});
  }
  std::string write_rendering(const Node& n) {
    const std::string& base = n.name;
    const std::string per_joint = file_.ints(base + "/per_joint", {-1, n.type.shape[3], 1, 1});
    const auto coordinate = [&](const char* axis, int64_t index) {
      const std::string name = base + "/" + axis;
      const std::string taken =
          file_.op("Gather", name + "/gather", {in(n, 0), file_.ints(name + "/index", {index})}, {single("axis", 2)});
      return file_.op("Reshape", name, {taken, per_joint});
    };
    const std::string dx = squared_distance(base + "/dx", coordinate("x", 0), n.attrs.width, {1, 1, 1, n.attrs.width});
    const std::string dy =
        squared_distance(base + "/dy", coordinate("y", 1), n.attrs.height, {1, 1, n.attrs.height, 1});
    const std::string distance = file_.op("Add", base + "/distance", {dx, dy});
    const double factor = -1 / (2 * n.attrs.sigma * n.attrs.sigma);
    const std::string scaled = file_.op("Mul", base + "/scaled", {distance, file_.scalar(base + "/factor", factor)});
    const std::string valid = file_.op("Reshape", base + "/valid", {in(n, 1), per_joint});
    const std::string masked = file_.op("Mul", base + "/masked", {file_.op("Exp", base + "/exp", {scaled}), valid});
    return file_.op("Mul", base, {masked, file_.scalar(base + "/peak", 255)});
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
    std::string name = file_.op(
        transposed ? "ConvTranspose" : "Conv", more ? n.name + "/conv" : n.name, inputs,
        {{"kernel_shape", {filter[0], filter[1]}}, {"pads", pads}, {"strides", {n.attrs.stride, n.attrs.stride}}});
    if (n.attrs.has_residual) {
      name = file_.op("Add", n.attrs.relu ? n.name + "/residual" : n.name, {name, in(n, n.inputs.size() - 1)});
    }
    return n.attrs.relu ? file_.op("Relu", n.name, {name}) : name;
  }

  std::string write_batch_norm(const Node& n) {
    file_.op("BatchNormalization", n.name, {in(n, 0), in(n, 1), in(n, 2), in(n, 3), in(n, 4)});
    onnx::AttributeProto& epsilon = *file_.last_node()->add_attribute();
    epsilon.set_name("epsilon");
    epsilon.set_type(onnx::AttributeProto::FLOAT);
    epsilon.set_f(static_cast<float>(n.attrs.epsilon));
    return n.name;
  }

  // A bias goes into the convolution before it where that has no other reader; else it is an addition.
  std::string write_bias(const Node& n) {
    const Node& before = graph_.node(n.inputs.at(0));
    onnx::NodeProto* last = file_.last_node();
    int readers = 0;
    for (const Node& other : graph_.nodes())
      readers += static_cast<int>(std::count(other.inputs.begin(), other.inputs.end(), n.inputs[0]));
    if (last != nullptr && readers == 1 && last->output(0) == before.name && last->input_size() == 2 &&
        (last->op_type() == "Conv" || last->op_type() == "ConvTranspose")) {
      last->add_input(in(n, 1));
      return before.name;
    }
    const int64_t channels = n.type.shape.at(3);
    const std::string shape = file_.ints(n.name + "/shape", {1, channels, 1, 1});
    return file_.op("Add", n.name, {in(n, 0), file_.op("Reshape", n.name + "/bias", {in(n, 1), shape})});
  }

  std::string write_max_pool(const Node& n) {
    const auto& p = n.attrs.pads;
    std::string x = in(n, 0);
    if (p != std::array<int64_t, 4>{0, 0, 0, 0}) {
      x = file_.op("Pad", n.name + "/Pad", {x, file_.ints(n.name + "/pads", {0, 0, p[0], p[2], 0, 0, p[1], p[3]})});
    }
    return file_.op(
        "MaxPool", n.name, {x},
        {{"kernel_shape", {n.attrs.kernel, n.attrs.kernel}}, {"strides", {n.attrs.stride, n.attrs.stride}}});
  }

  const Graph& graph_;
  const NamedTensors& weights_;
  const OnnxOptions& options_;
  OnnxFile file_;
  std::map<NodeId, std::string> value_;
};

}  // namespace

std::string encode_onnx(const Graph& graph, const NamedTensors& weights, const OnnxOptions& options) {
  return Writer(graph, weights, options).run();
}

}  // namespace posefix::exporters
