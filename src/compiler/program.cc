#include "compiler/program.h"

#include <cmath>
#include <map>

#include "base/error.h"
#include "model/posefix_net.h"

namespace posefix::compiler {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Op;

class Lowering {
 public:
  explicit Lowering(const Module& module) : module_(module), graph_(module.graph) {
    tensor_of_.assign(graph_.nodes().size(), -1);
  }

  Program run() {
    lower_inputs();
    for (size_t i = 0; i < graph_.nodes().size(); ++i) lower_node(static_cast<NodeId>(i));
    lower_outputs();
    return std::move(program_);
  }

 private:
  // An input by its place in the network's signature: image [B,H,W,3], pose [B,K,2], valid [B,K].
  void lower_inputs() {
    plan::Metadata& m = program_.plan.metadata;
    for (const NodeId id : graph_.all(Op::kInput)) {
      const Shape& shape = graph_.node(id).type.shape;
      if (shape.size() == 4 && shape[3] == 3) {
        image_ = id;
        m.height = shape[1];
        m.width = shape[2];
      } else if (shape.size() == 3 && shape[2] == 2) {
        m.joints = shape[1];
      }
    }
    if (image_ < 0) throw bad_input("the network does not read an image [B,H,W,3]");
    for (size_t c = 0; c < 3; ++c) m.mean_bgr[c] = model::kImageMeanBgr[c];
  }

  [[noreturn]] static void unsupported(const Node& node, const std::string& why) {
    throw bad_input("cannot compile node '{}' ({}): {}", node.name, graph::schema(node.op).name, why);
  }

  int32_t tensor(NodeId id) {
    int32_t& tensor = tensor_of_.at(static_cast<size_t>(id));
    if (tensor < 0 && id == image_) {
      const Shape& shape = graph_.node(id).type.shape;
      tensor = program_.add_tensor("image", shape[1], shape[2], 3);
      plan::Step step;
      step.op = plan::Op::kNormaliseImage;
      step.name = "image";
      step.output = tensor;
      program_.plan.steps.push_back(step);
    }
    if (tensor < 0) unsupported(graph_.node(id), "its value is not a feature map that a step computes");
    return tensor;
  }

  int32_t weight(const Node& user, NodeId id) {
    const Node& node = graph_.node(id);
    if (node.op != Op::kWeight) unsupported(user, "expected a weight as input, found a computed value");
    const auto [entry, is_new] = weight_of_.try_emplace(id, 0);
    if (is_new) entry->second = program_.add_weight(node.name, module_.weights.at(node.name));
    return entry->second;
  }

  plan::Step step_for(const Node& node, plan::Op op) const {
    plan::Step step;
    step.op = op;
    step.name = node.name;
    step.stride = static_cast<int32_t>(node.attrs.stride);
    step.kernel = static_cast<int32_t>(node.attrs.kernel);
    for (size_t side = 0; side < 4; ++side) step.pads[side] = static_cast<int32_t>(node.attrs.pads[side]);
    step.relu = node.attrs.relu;
    step.has_bias = node.attrs.has_bias;
    step.has_residual = node.attrs.has_residual;
    return step;
  }

  void emit(NodeId id, plan::Step step) {
    const Node& node = graph_.node(id);
    const Shape& shape = node.type.shape;
    step.output = program_.add_tensor(node.name, shape.at(1), shape.at(2), shape.at(3));
    tensor_of_[static_cast<size_t>(id)] = step.output;
    program_.plan.steps.push_back(std::move(step));
  }

  void lower_node(NodeId id) {
    const Node& node = graph_.node(id);
    switch (node.op) {
      case Op::kInput:
      case Op::kWeight:
      case Op::kRenderPose:  // part of the concatenation that reads it
      case Op::kSoftArgmax:  // part of the outputs
      case Op::kHeatmapSpread:
      case Op::kScale:
        return;
      case Op::kConcat:
        return lower_concat(id);
      case Op::kConv2d:
      case Op::kConvTranspose2d:
        return lower_convolution(id);
      case Op::kBatchNorm:
      case Op::kBiasAdd:
        return lower_affine(id);
      case Op::kPad:
        return lower_plain(id, plan::Op::kPad);
      case Op::kRelu:
        return lower_plain(id, plan::Op::kRelu);
      case Op::kMaxPool:
        return lower_plain(id, plan::Op::kMaxPool);
      case Op::kAdd:
        return lower_plain(id, plan::Op::kAdd);
    }
  }

  void lower_plain(NodeId id, plan::Op op) {
    const Node& node = graph_.node(id);
    plan::Step step = step_for(node, op);
    for (const NodeId input : node.inputs) step.inputs.push_back(tensor(input));
    emit(id, std::move(step));
  }

  void lower_concat(NodeId id) {
    const Node& node = graph_.node(id);
    const bool is_network_input =
        node.inputs.size() == 2 && node.inputs[0] == image_ && graph_.node(node.inputs[1]).op == Op::kRenderPose;
    if (!is_network_input) return lower_plain(id, plan::Op::kConcat);
    plan::Step step = step_for(node, plan::Op::kAssembleInput);
    step.sigma_px = graph_.node(node.inputs[1]).attrs.sigma;
    emit(id, std::move(step));
  }

  void lower_convolution(NodeId id) {
    const Node& node = graph_.node(id);
    plan::Step step = step_for(node, node.op == Op::kConv2d ? plan::Op::kConv2d : plan::Op::kConvTranspose2d);
    step.inputs.push_back(tensor(node.inputs[0]));
    step.weights.push_back(weight(node, node.inputs[1]));
    if (node.attrs.has_bias) step.weights.push_back(weight(node, node.inputs[2]));
    if (node.attrs.has_residual) step.inputs.push_back(tensor(node.inputs.back()));
    emit(id, std::move(step));
  }

  // A batch norm or bias that no convolution could take.
  void lower_affine(NodeId id) {
    const Node& node = graph_.node(id);
    std::vector<Tensor> tensors;
    for (size_t k = 1; k < node.inputs.size(); ++k) {
      if (graph_.node(node.inputs[k]).op != Op::kWeight) unsupported(node, "its parameters are computed values");
      tensors.push_back(module_.weights.at(graph_.node(node.inputs[k]).name).values());
    }
    std::vector<std::span<const float>> values;
    values.reserve(tensors.size());
    for (const Tensor& tensor : tensors) values.push_back(tensor.f32());
    Tensor scale(DType::kF32, {static_cast<int64_t>(values[0].size())});
    Tensor shift(DType::kF32, scale.shape());
    for (size_t c = 0; c < values[0].size(); ++c) {
      double factor = 1;
      double offset = values[0][c];
      if (node.op == Op::kBatchNorm) {
        factor = double{values[0][c]} / std::sqrt(double{values[3][c]} + node.attrs.epsilon);
        offset = double{values[1][c]} - double{values[2][c]} * factor;
      }
      scale.mutable_f32()[c] = static_cast<float>(factor);
      shift.mutable_f32()[c] = static_cast<float>(offset);
    }
    plan::Step step = step_for(node, plan::Op::kChannelAffine);
    step.inputs.push_back(tensor(node.inputs[0]));
    step.weights.push_back(program_.add_weight(node.name + "/scale", std::move(scale)));
    step.weights.push_back(program_.add_weight(node.name + "/shift", std::move(shift)));
    emit(id, std::move(step));
  }

  struct Decoded {
    NodeId logits = -1;
    double factor = 1;
  };
  Decoded decoded(const graph::Output& output, Op op) const {
    Decoded result;
    const Node* node = &graph_.node(output.node);
    while (node->op == Op::kScale) {
      result.factor *= node->attrs.factor;
      node = &graph_.node(node->inputs[0]);
    }
    if (node->op != op)
      unsupported(*node, "the output '" + output.name + "' must be a scaled " + std::string(graph::schema(op).name));
    result.logits = node->inputs[0];
    return result;
  }

  void lower_outputs() {
    const graph::Output* coords = nullptr;
    Decoded at;
    for (const graph::Output& output : graph_.outputs()) {
      if (output.name == "coords") {
        coords = &output;
        at = decoded(output, Op::kSoftArgmax);
      }
    }
    if (coords == nullptr) throw bad_input("the network has no output named 'coords'");
    for (const graph::Output& output : graph_.outputs()) {
      if (output.name == "coords") continue;
      if (output.name != "spread") {
        program_.plan.kept.push_back({output.name, tensor(output.node)});
        continue;
      }
      const Decoded spread = decoded(output, Op::kHeatmapSpread);
      if (spread.logits != at.logits || spread.factor != at.factor) {
        throw bad_input("the outputs 'coords' and 'spread' do not come from the same logits");
      }
    }
    plan::Step step;
    step.op = plan::Op::kDecode;
    step.name = "coords";
    step.inputs.push_back(tensor(at.logits));
    step.factor = at.factor;
    program_.plan.metadata.heatmap_stride = static_cast<int64_t>(at.factor);
    program_.plan.steps.push_back(std::move(step));
  }

  const Module& module_;
  const Graph& graph_;
  Program program_;
  NodeId image_ = -1;
  std::vector<int32_t> tensor_of_;
  std::map<NodeId, int32_t> weight_of_;
};

}  // namespace

int32_t Program::add_tensor(const std::string& name, int64_t height, int64_t width, int64_t channels) {
  constexpr int64_t kBlock = 16;  // channels of a blocked layout
  const int64_t padded = (channels + kBlock - 1) / kBlock * kBlock;
  plan::TensorInfo info;
  info.name = name;
  info.height = height;
  info.width = width;
  info.channels = channels;
  const auto bytes = static_cast<uint64_t>(height * width * padded) * sizeof(float);
  info.bytes = (bytes + 63) / 64 * 64;
  plan.tensors.push_back(std::move(info));
  return static_cast<int32_t>(plan.tensors.size() - 1);
}

int32_t Program::add_weight(const std::string& name, plan::Weight value) {
  plan.weight_infos.push_back({name, value.dtype(), value.shape(), 0, value.byte_count()});
  plan.weights.push_back(std::move(value));
  return static_cast<int32_t>(plan.weights.size() - 1);
}

Program lower(const Module& module) { return Lowering(module).run(); }

std::shared_ptr<const plan::Plan> pack(Program program) {
  uint64_t size = 0;
  for (plan::WeightInfo& info : program.plan.weight_infos) {
    info.offset = size;
    size = (size + info.bytes + 63) / 64 * 64;
  }
  const plan::Violation violation = plan::validate(program.plan);
  if (!violation.message.empty()) throw failed("the compiled plan is not valid: {}", violation.message);
  return std::make_shared<const plan::Plan>(std::move(program.plan));
}

}  // namespace posefix::compiler
