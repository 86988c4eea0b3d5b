// Layer by layer: what each foreign operator is in our graph.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "exporters/interpreter.h"
#include "exporters/understand.h"

namespace posefix::exporters {

using graph::Attributes;
using graph::NodeId;
using graph::Op;

namespace {

// The decimal number that was meant: 1.001e-05, not 1.0009999641624745e-05.
double as_written(double value) { return std::stod(fmt::format("{}", static_cast<float>(value))); }

// out[i0,i1,i2,i3] = in[index of axis order[k]], that is: axis k of the result is axis order[k] of the file's.
Tensor reordered(const Tensor& in, const std::array<int, 4>& order) {
  Shape shape(4);
  Shape strides(4, 1);
  for (size_t d = 3; d-- > 0;) strides[d] = strides[d + 1] * in.shape()[d + 1];
  for (size_t d = 0; d < 4; ++d) shape[d] = in.shape()[static_cast<size_t>(order[d])];
  Tensor out(DType::kF32, shape);
  const std::span<const float> from = in.f32();
  const std::span<float> to = out.mutable_f32();
  size_t at = 0;
  const auto stride = [&](size_t d) { return strides[static_cast<size_t>(order[d])]; };
  for (int64_t a = 0; a < shape[0]; ++a) {
    for (int64_t b = 0; b < shape[1]; ++b) {
      for (int64_t c = 0; c < shape[2]; ++c) {
        const int64_t base = a * stride(0) + b * stride(1) + c * stride(2);
        for (int64_t d = 0; d < shape[3]; ++d) to[at++] = from[static_cast<size_t>(base + d * stride(3))];
      }
    }
  }
  return out;
}

constexpr std::array<int, 4> kAsIs{0, 1, 2, 3};

// ONNX's numbers of float, float16, double and bfloat16.
bool is_floating(int64_t onnx_type) { return onnx_type == 1 || onnx_type == 10 || onnx_type == 11 || onnx_type == 16; }

// "Const_13" and the like: TensorFlow's own names for constants that nobody named.
bool is_nameless(const std::string& name) {
  if (!name.starts_with("Const")) return false;
  return std::all_of(name.begin() + 5, name.end(), [](char c) { return c == '_' || (c >= '0' && c <= '9'); });
}

std::string scope_of(const std::string& name) {
  const size_t slash = name.rfind('/');
  return slash == std::string::npos ? "" : name.substr(0, slash + 1);
}

}  // namespace

std::string Understanding::free_name(const std::string& wanted) const {
  std::string name = wanted;
  for (int i = 1; names_.contains(name); ++i) name = fmt::format("{}_{}", wanted, i);
  return name;
}

NodeId Understanding::emit(Op op, const std::string& name, std::vector<NodeId> inputs, const Attributes& attributes) {
  const std::string unique = free_name(name);
  names_.insert(unique);
  try {
    return model_.graph.add(op, unique, std::move(inputs), attributes);
  } catch (const Error& error) {
    throw error.within(file_.source);
  }
}

// Follows reads of a constant through Identity nodes.
std::optional<std::string> Understanding::constant_name(const std::string& value) const {
  std::string name = value;
  for (const OpNode* node = file_.producer(name); node != nullptr && node->op == "Identity" && node->inputs.size() == 1;
       node = file_.producer(name)) {
    name = node->inputs[0];
  }
  if (!file_.constants.contains(name)) return std::nullopt;
  return name;
}

const Tensor& Understanding::constant(const OpNode& node, const std::string& value) const {
  const std::optional<std::string> name = constant_name(value);
  if (!name) refuse(node, fmt::format("input '{}' is not a constant; freeze the graph first", value));
  return file_.constants.at(*name);
}

std::vector<int64_t> Understanding::constant_integers(const OpNode& node, size_t input) const {
  if (input >= node.inputs.size()) refuse(node, fmt::format("input {} is missing", input));
  const Tensor& tensor = constant(node, node.inputs[input]);
  if (tensor.dtype() != DType::kI64)
    refuse(node, fmt::format("input '{}' is not made of integers", node.inputs[input]));
  const std::span<const int64_t> values = tensor.as<int64_t>();
  return {values.begin(), values.end()};
}

NodeId Understanding::weight(const OpNode& node, const std::string& value, const std::string& role,
                             const std::array<int, 4>& order) {
  const Tensor& tensor = constant(node, value);
  std::string name = *constant_name(value);
  if (is_nameless(name)) {
    const bool in_batch_norm = node.op.starts_with("FusedBatchNorm");
    const std::string scope =
        in_batch_norm && node.name.ends_with("/BatchNorm") ? node.name + "/" : scope_of(node.name);
    name = scope + role;
  }
  const auto known = weights_.find(name);
  if (known != weights_.end()) return known->second;
  if (tensor.dtype() != DType::kF32) refuse(node, fmt::format("'{}' is not made of floats", name));
  if (order != kAsIs && tensor.shape().size() != 4)
    refuse(node, fmt::format("'{}' is {}, expected a filter of rank 4", name, posefix::to_string(tensor.shape())));
  if (names_.contains(name)) name = free_name(name);
  names_.insert(name);
  Tensor ours = order == kAsIs ? tensor : reordered(tensor, order);
  const NodeId id = model_.graph.add_weight(name, ours.shape());
  model_.weights.emplace(name, std::move(ours));
  weights_.emplace(name, id);
  return id;
}

const FeatureMap& Understanding::feature(const OpNode& node, size_t input) const {
  if (input >= node.inputs.size()) refuse(node, fmt::format("input {} is missing", input));
  const auto found = done_.find(node.inputs[input]);
  if (found == done_.end()) refuse(node, fmt::format("input '{}' does not depend on the picture", node.inputs[input]));
  return found->second;
}

FeatureMap Understanding::convert_node(const OpNode& node) {
  if (node.inputs.empty()) refuse(node, "has no inputs");
  const std::string& op = node.op;
  if (op == "Conv2D" || op == "Conv") return convolution(node);
  if (op == "Conv2DBackpropInput" || op == "ConvTranspose") return transposed_convolution(node);
  if (op.starts_with("FusedBatchNorm") || op == "BatchNormalization") return batch_norm(node);
  if (op == "Add" || op == "AddV2" || op == "BiasAdd") return add(node);
  if (op == "Pad") return pad(node);
  if (op == "MaxPool") return max_pool(node);
  if (op == "ConcatV2" || op == "Concat") return concat(node);
  if (op == "Transpose") return transpose(node);
  const FeatureMap x = feature(node, 0);
  if (op == "Relu") return {emit(Op::kRelu, node.name, {x.node}), x.layout};
  if (op == "Identity" || op == "StopGradient" || (op == "Dropout" && file_.dialect == Dialect::kOnnx)) return x;
  // Half precision in the file is a matter of its arithmetic, not of what the network is.
  if (op == "Cast" && is_floating(node.integer("to", 0))) return x;
  // Our own flip test mirrors the picture here; concat() takes the half that is not mirrored.
  if (op == "Gather" && file_.metadata.contains("posefix.flip")) return x;
  refuse(node, "this operator is not part of a pose network as it is read here");
}

void Understanding::require_layout(const OpNode& node, const FeatureMap& x) const {
  Layout expected = Layout::kNchw;
  if (file_.dialect == Dialect::kTensorFlow) {
    expected = node.text("data_format", "NHWC") == "NHWC" ? Layout::kNhwc : Layout::kNchw;
  }
  if (x.layout != expected) refuse(node, "its input lies in another order of dimensions than it expects");
}

std::array<int64_t, 2> Understanding::strides(const OpNode& node) const {
  std::vector<int64_t> values = node.integers("strides", {1, 1});
  if (values.size() == 4) {
    const bool nhwc = node.text("data_format", "NHWC") == "NHWC";
    values = nhwc ? std::vector<int64_t>{values[1], values[2]} : std::vector<int64_t>{values[2], values[3]};
  }
  if (values.size() != 2 || values[0] != values[1] || values[0] < 1 || values[0] > 64) {
    refuse(node, fmt::format("strides [{}]: expected two equal ones", fmt::join(values, ", ")));
  }
  for (const int64_t dilation : node.integers("dilations", {1, 1})) {
    if (dilation != 1) refuse(node, "dilated windows are not read");
  }
  if (node.integer("group", 1) != 1) refuse(node, "grouped convolutions are not read");
  return {values[0], values[1]};
}

void Understanding::require_small(const OpNode& node, const std::vector<int64_t>& pads) const {
  constexpr int64_t kMost = 1024;
  for (const int64_t pad : pads) {
    if (pad < 0 || pad > kMost) refuse(node, fmt::format("pads [{}]: expected 0 to {}", fmt::join(pads, ", "), kMost));
  }
}

// top, bottom, left, right.
std::array<int64_t, 4> Understanding::window_pads(const OpNode& node, const FeatureMap& x, int64_t kernel_h,
                                                  int64_t kernel_w, int64_t stride) const {
  const bool tensorflow = file_.dialect == Dialect::kTensorFlow;
  const std::string mode = tensorflow ? node.text("padding", "VALID") : node.text("auto_pad", "NOTSET");
  if (mode == "VALID") return {0, 0, 0, 0};
  if (mode == "NOTSET" && !tensorflow) {
    const std::vector<int64_t> pads = node.integers("pads", {0, 0, 0, 0});
    if (pads.size() != 4) refuse(node, "expected four pads");
    require_small(node, pads);
    return {pads[0], pads[2], pads[1], pads[3]};
  }
  if (mode != "SAME" && mode != "SAME_UPPER") refuse(node, fmt::format("padding '{}' is not read", mode));
  const Shape& shape = model_.graph.node(x.node).type.shape;
  const auto same = [stride](int64_t size, int64_t kernel) {
    const int64_t count = (size + stride - 1) / stride;
    return std::max<int64_t>((count - 1) * stride + kernel - size, 0);
  };
  const int64_t tall = same(shape.at(1), kernel_h);
  const int64_t wide = same(shape.at(2), kernel_w);
  return {tall / 2, tall - tall / 2, wide / 2, wide - wide / 2};
}

FeatureMap Understanding::convolution(const OpNode& node) {
  if (node.inputs.size() < 2) refuse(node, "has no filter");
  const FeatureMap x = feature(node, 0);
  require_layout(node, x);
  const bool tensorflow = file_.dialect == Dialect::kTensorFlow;
  const NodeId filter = weight(node, node.inputs[1], "weights", tensorflow ? kAsIs : std::array<int, 4>{2, 3, 1, 0});
  const Shape& shape = model_.graph.node(filter).type.shape;
  if (shape.size() != 4) refuse(node, "the filter's rank is not 4");
  const int64_t stride = strides(node)[0];
  const NodeId conv = emit(Op::kConv2d, node.name, {x.node, filter},
                           {.stride = stride, .pads = window_pads(node, x, shape[0], shape[1], stride)});
  if (node.inputs.size() < 3 || node.inputs[2].empty()) return {conv, x.layout};
  return bias(node, {conv, x.layout}, node.inputs[2]);
}

// TensorFlow's transposed convolution is told the size of its result: [B,H,W,C] or [H,W].
void Understanding::check_result_size(const OpNode& node, const FeatureMap& x, int64_t stride) const {
  const Shape& type = model_.graph.node(x.node).type.shape;
  Given map{{1, type[1], type[2], type[3]}, [](int64_t) { return 0.0; }};
  if (x.layout == Layout::kNchw) map.shape = {1, type[3], type[1], type[2]};
  Interpreter interpreter(file_, {{node.inputs[2], std::move(map)}});
  const std::vector<double> size = interpreter.all_elements(node.inputs[0]);
  const size_t height = size.size() == 2 ? 0 : x.layout == Layout::kNhwc ? 1 : 2;
  const bool fits = (size.size() == 2 || size.size() == 4) && size[height] == static_cast<double>(type[1] * stride) &&
                    size[height + 1] == static_cast<double>(type[2] * stride);
  if (!fits)
    refuse(node,
           fmt::format("its result is [{}], expected {} times {}x{}", fmt::join(size, ", "), stride, type[1], type[2]));
}

FeatureMap Understanding::transposed_convolution(const OpNode& node) {
  const bool tensorflow = file_.dialect == Dialect::kTensorFlow;
  const size_t data = tensorflow ? 2 : 0;
  if (node.inputs.size() < (tensorflow ? 3U : 2U)) refuse(node, "has no filter");
  const FeatureMap x = feature(node, data);
  require_layout(node, x);
  const NodeId filter = weight(node, node.inputs[1], "weights", tensorflow ? kAsIs : std::array<int, 4>{2, 3, 1, 0});
  const Shape& shape = model_.graph.node(filter).type.shape;  // [h,w,out,in]
  if (shape.size() != 4) refuse(node, "the filter's rank is not 4");
  const int64_t stride = strides(node)[0];
  if (tensorflow) {
    if (node.text("padding", "") != "SAME") refuse(node, "only padding SAME is read");
    check_result_size(node, x, stride);
  } else {
    const std::vector<int64_t> pads = node.integers("pads", {0, 0, 0, 0});
    const int64_t tall = std::max<int64_t>(shape[0] - stride, 0);
    const int64_t wide = std::max<int64_t>(shape[1] - stride, 0);
    const bool same_by_name = node.text("auto_pad", "NOTSET") == "SAME_UPPER";
    const std::vector<int64_t> same{tall / 2, wide / 2, tall - tall / 2, wide - wide / 2};
    const std::vector<int64_t> extra = node.integers("output_padding", {0, 0});
    const bool has_extra = std::any_of(extra.begin(), extra.end(), [](int64_t e) { return e != 0; });
    if ((!same_by_name && pads != same) || has_extra) {
      refuse(node,
             fmt::format("pads [{}] and output_padding [{}]: for a filter of {}x{} and stride {}, pads [{}] without "
                         "output_padding are read (TensorFlow's SAME)",
                         fmt::join(pads, ", "), fmt::join(extra, ", "), shape[0], shape[1], stride,
                         fmt::join(same, ", ")));
    }
  }
  const NodeId conv = emit(Op::kConvTranspose2d, node.name, {x.node, filter}, {.stride = stride});
  if (tensorflow || node.inputs.size() < 3 || node.inputs[2].empty()) return {conv, x.layout};
  return bias(node, {conv, x.layout}, node.inputs[2]);
}

FeatureMap Understanding::batch_norm(const OpNode& node) {
  if (node.inputs.size() != 5) refuse(node, "expected scale, offset, mean and variance");
  const bool tensorflow = file_.dialect == Dialect::kTensorFlow;
  if (tensorflow ? node.integer("is_training", 1) != 0 : node.integer("training_mode", 0) != 0) {
    refuse(node, "normalises with the batch's statistics: a training graph; freeze the inference graph instead");
  }
  const FeatureMap x = feature(node, 0);
  require_layout(node, x);
  std::vector<NodeId> inputs{x.node};
  const char* roles[] = {"gamma", "beta", "moving_mean", "moving_variance"};
  for (size_t i = 0; i < 4; ++i) inputs.push_back(weight(node, node.inputs[i + 1], roles[i], kAsIs));
  const double epsilon = as_written(node.number("epsilon", tensorflow ? 1e-4 : 1e-5));
  return {emit(Op::kBatchNorm, node.name, inputs, {.epsilon = epsilon}), x.layout};
}

FeatureMap Understanding::bias(const OpNode& node, const FeatureMap& x, const std::string& bias_value) {
  const NodeId biases = weight(node, bias_value, "biases", kAsIs);
  return {emit(Op::kBiasAdd, node.name + "/BiasAdd", {x.node, biases}), x.layout};
}

FeatureMap Understanding::add(const OpNode& node) {
  if (node.inputs.size() != 2) refuse(node, "expected two inputs");
  for (size_t i = 0; i < 2; ++i) {
    if (on_image_.contains(node.inputs[1 - i])) continue;
    const FeatureMap x = feature(node, i);
    const NodeId biases = weight(node, node.inputs[1 - i], "biases", kAsIs);
    const bool channels_last = node.op == "BiasAdd" || x.layout == Layout::kNhwc;
    if (!channels_last) refuse(node, "adds a constant to an NCHW value; expected the convolution's own bias");
    return {emit(Op::kBiasAdd, node.name, {x.node, biases}), x.layout};
  }
  const FeatureMap left = feature(node, 0);
  const FeatureMap right = feature(node, 1);
  if (left.layout != right.layout) refuse(node, "adds NHWC and NCHW values");
  return {emit(Op::kAdd, node.name, {left.node, right.node}), left.layout};
}

FeatureMap Understanding::pad(const OpNode& node) {
  const FeatureMap x = feature(node, 0);
  std::vector<int64_t> pads;
  if (file_.dialect == Dialect::kOnnx && node.inputs.size() < 2) {
    pads = node.integers("pads", {});  // before opset 11
  } else {
    pads = constant_integers(node, 1);
  }
  if (file_.dialect == Dialect::kOnnx) {
    if (node.text("mode", "constant") != "constant") refuse(node, "only zero padding is read");
    if (node.inputs.size() > 2 && !node.inputs[2].empty()) {
      const Tensor& value = constant(node, node.inputs[2]);
      const bool is_zero =
          value.count() == 1 && std::ranges::all_of(value.bytes(), [](std::byte b) { return b == std::byte{0}; });
      if (!is_zero) refuse(node, "only zero padding is read");
    }
    if (pads.size() == 8) pads = {pads[0], pads[4], pads[1], pads[5], pads[2], pads[6], pads[3], pads[7]};
  }
  if (pads.size() != 8) refuse(node, fmt::format("{} pads, expected 8", pads.size()));
  require_small(node, pads);
  const size_t height = x.layout == Layout::kNhwc ? 1 : 2;
  for (size_t axis = 0; axis < 4; ++axis) {
    const bool spatial = axis == height || axis == height + 1;
    if (!spatial && (pads[2 * axis] != 0 || pads[2 * axis + 1] != 0)) refuse(node, "pads batch or channels");
  }
  const int64_t* p = pads.data() + 2 * height;
  return {emit(Op::kPad, node.name, {x.node}, {.pads = {p[0], p[1], p[2], p[3]}}), x.layout};
}

FeatureMap Understanding::max_pool(const OpNode& node) {
  FeatureMap x = feature(node, 0);
  require_layout(node, x);
  std::vector<int64_t> kernel = node.integers(file_.dialect == Dialect::kTensorFlow ? "ksize" : "kernel_shape", {});
  if (kernel.size() == 4) {
    kernel = x.layout == Layout::kNhwc ? std::vector<int64_t>{kernel[1], kernel[2]}
                                       : std::vector<int64_t>{kernel[2], kernel[3]};
  }
  if (kernel.size() != 2 || kernel[0] != kernel[1] || kernel[0] < 1 || kernel[0] > 64)
    refuse(node, "expected a square window");
  if (node.integer("ceil_mode", 0) != 0) refuse(node, "ceil_mode is not read");
  const int64_t stride = strides(node)[0];
  const std::array<int64_t, 4> pads = window_pads(node, x, kernel[0], kernel[1], stride);
  if (pads != std::array<int64_t, 4>{0, 0, 0, 0}) {
    // A pool's own padding never wins; zeros never win either where nothing is negative.
    if (model_.graph.node(x.node).op != Op::kRelu) refuse(node, "a padded pool is only read after a ReLU");
    x.node = emit(Op::kPad, node.name + "/Pad", {x.node}, {.pads = pads});
  }
  return {emit(Op::kMaxPool, node.name, {x.node}, {.stride = stride, .kernel = kernel[0]}), x.layout};
}

FeatureMap Understanding::transpose(const OpNode& node) {
  const FeatureMap x = feature(node, 0);
  const std::vector<int64_t> order =
      file_.dialect == Dialect::kTensorFlow ? constant_integers(node, 1) : node.integers("perm", {});
  const std::vector<int64_t> to_nchw{0, 3, 1, 2};
  const std::vector<int64_t> to_nhwc{0, 2, 3, 1};
  if (x.layout == Layout::kNhwc && order == to_nchw) return {x.node, Layout::kNchw};
  if (x.layout == Layout::kNchw && order == to_nhwc) return {x.node, Layout::kNhwc};
  refuse(node, fmt::format("order [{}] is neither NHWC to NCHW nor back", fmt::join(order, ", ")));
}

}  // namespace posefix::exporters
