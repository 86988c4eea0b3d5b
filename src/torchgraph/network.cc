#include "torchgraph/network.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "torchgraph/batch_norm.h"
#include "torchgraph/device.h"
#include "torchgraph/layout.h"
#include "torchgraph/ops.h"
#include "torchgraph/transfer.h"

namespace posefix::torchgraph {
namespace {

using graph::NodeId;
using graph::Op;

int64_t padded(int64_t count) { return (count + kFlatAlignment - 1) / kFlatAlignment * kFlatAlignment; }

// A filter's shape in LibTorch's layout; other shapes unchanged.
std::vector<int64_t> torch_shape(const Shape& stored) {
  if (stored.size() != 4) return stored;
  return {stored[3], stored[2], stored[0], stored[1]};
}

bool starts_with_any(const std::string& name, const std::vector<std::string>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](const std::string& p) { return name.starts_with(p); });
}

const Tensor& find_weight(const NamedTensors& weights, const graph::Node& node, const std::string& source) {
  const auto found = weights.find(node.name);
  if (found == weights.end()) throw bad_input("{}: '{}' is missing", source, node.name);
  if (found->second.shape() != node.type.shape) {
    throw bad_input("{}: '{}' has shape {}, expected {}", source, node.name, to_string(found->second.shape()),
                    to_string(node.type.shape));
  }
  return found->second;
}

// Whether every op has a kernel for the type on the device: forward and backward to train, else forward.
void check_precision(DType precision, bool trains, const at::Device& device) {
  const c10::AutoGradMode grad_mode(trains);
  const at::TensorOptions low = at::TensorOptions().dtype(scalar_type(precision)).device(device);
  const at::TensorOptions f32 = at::TensorOptions().dtype(at::kFloat).device(device);
  try {
    const at::Tensor filter = at::ones({4, 4, 4, 4}, f32).set_requires_grad(trains);
    const at::Tensor scale = at::ones({4}, f32).set_requires_grad(trains);
    at::Tensor x = conv2d(at::ones({2, 4, 8, 8}, low), filter.to(low), {}, 1, {1, 1, 1, 1});
    x = at::relu(at::batch_norm(x, scale, scale, at::zeros({4}, f32), at::ones({4}, f32), trains, 0.1, 1e-5, true));
    x = conv_transpose2d_same(max_pool(x, 3, 2, {1, 1, 1, 1}), filter.to(low), {}, 2);
    x = (x + scale.view({1, -1, 1, 1})).sum();
    if (trains) x.backward();
  } catch (const c10::Error& error) {
    const std::string reason = error.what_without_backtrace();
    throw bad_input("{} {}: LibTorch {} cannot {} in it on device {} ({}); use f32 or another of f32, bf16, f16",
                    trains ? "train.precision" : "--precision", dtype_name(precision), libtorch_version(),
                    trains ? "train" : "run", device_name(device), reason.substr(0, reason.find('\n')));
  }
}

}  // namespace

Network::Network(graph::Graph graph, const NamedTensors& weights, const NetworkOptions& options)
    : graph_(std::move(graph)), options_(options), device_(open_device(options.device)) {
  if (options.dtype != DType::kF32 && options.dtype != DType::kF64) {
    throw bad_input("a network's variables are f32 or f64, not {}", dtype_name(options.dtype));
  }
  if (options.precision != DType::kF32) check_precision(options.precision, true, device_);
  if (options.inference_precision != DType::kF32) check_precision(options.inference_precision, false, device_);
  lay_out_variables();
  if (options.blank_image) find_image_filters();
  import_variables(weights);
}

void Network::find_image_filters() {
  std::map<NodeId, int64_t> first_channel{{graph_.find("image"), 0}};  // of the image, in values that hold it as it is
  for (NodeId id = 0; id < static_cast<NodeId>(graph_.nodes().size()); ++id) {
    const graph::Node& node = graph_.node(id);
    int64_t channel = 0;
    for (const NodeId input : node.inputs) {
      const auto found = first_channel.find(input);
      if (found != first_channel.end()) {
        if (node.op == Op::kConv2d) {
          image_filters_[graph_.node(node.inputs[1]).name] = found->second;
        } else if (node.op == Op::kConcat || node.op == Op::kPad) {
          first_channel[id] = channel + found->second;
        } else {
          throw bad_input("train.blank_image: only convolutions may read the image, and '{}' ({}) does", node.name,
                          graph::schema(node.op).name);
        }
      }
      channel += graph_.node(input).type.shape.back();
    }
  }
}

void Network::blank_image_channels(const std::string& name, const at::Tensor& values) const {
  const auto found = image_filters_.find(name);
  if (found == image_filters_.end()) return;
  const int64_t channels = graph_.node(graph_.find("image")).type.shape.back();
  values.narrow(1, found->second, channels).zero_();
}

at::Tensor Network::flat_view(const at::Tensor& flat, int64_t offset, const Shape& stored) const {
  const std::vector<int64_t> shape = torch_shape(stored);
  const at::Tensor slice = flat.narrow(0, offset, element_count(stored));
  if (!options_.channels_last || shape.size() != 4) return slice.view(shape);
  return slice.view({shape[0], shape[2], shape[3], shape[1]}).permute({0, 3, 1, 2});
}

void Network::lay_out_variables() {
  struct Slot {
    int rank;  // 0 decays, 1 trains, 2 frozen, 3 moving statistic
    NodeId node;
  };
  std::vector<int> ranks(graph_.nodes().size(), 1);
  for (const NodeId id : graph_.all(Op::kBatchNorm)) {
    for (const size_t statistic : {3, 4}) ranks[static_cast<size_t>(graph_.node(id).inputs[statistic])] = 3;
  }
  std::vector<Slot> slots;
  for (const NodeId id : graph_.all(Op::kWeight)) {
    const std::string& name = graph_.node(id).name;
    int rank = ranks[static_cast<size_t>(id)];
    if (rank == 1 && name.ends_with("/weights")) rank = 0;
    if (rank < 3 && starts_with_any(name, options_.frozen)) rank = 2;
    slots.push_back({rank, id});
  }
  std::sort(slots.begin(), slots.end(), [&](const Slot& a, const Slot& b) {
    return a.rank != b.rank ? a.rank < b.rank : graph_.node(a.node).name < graph_.node(b.node).name;
  });

  std::vector<int64_t> offsets;
  int64_t flat_count = 0;
  int64_t moving_count = 0;
  for (const Slot& slot : slots) {
    int64_t& count = slot.rank == 3 ? moving_count : flat_count;
    offsets.push_back(count);
    count += padded(element_count(graph_.node(slot.node).type.shape));
    if (slot.rank <= 0) decaying_count_ = flat_count;
    if (slot.rank <= 1) trainable_count_ = flat_count;
  }
  const at::TensorOptions options = at::TensorOptions().dtype(scalar_type(options_.dtype)).device(device_);
  flat_values_ = at::zeros({flat_count}, options);
  flat_gradients_ = at::zeros({trainable_count_}, options);
  moving_ = at::zeros({moving_count}, options);

  variable_of_node_.assign(graph_.nodes().size(), -1);
  for (size_t i = 0; i < slots.size(); ++i) {
    const graph::Node& node = graph_.node(slots[i].node);
    const bool moving = slots[i].rank == 3;
    Variable variable{node.name, {}, moving ? -1 : offsets[i], slots[i].rank <= 1};
    // detach(): a view that autograd treats as a leaf of its own.
    variable.value = flat_view(moving ? moving_ : flat_values_, offsets[i], node.type.shape).detach();
    if (variable.trainable) {
      variable.value.set_requires_grad(true);
      variable.value.mutable_grad() = flat_view(flat_gradients_, offsets[i], node.type.shape);
    }
    variable_of_node_[static_cast<size_t>(slots[i].node)] = static_cast<int>(variables_.size());
    variables_.push_back(std::move(variable));
  }
}

void Network::import_variables(const NamedTensors& weights) {
  const c10::NoGradGuard no_grad;
  for (const NodeId id : graph_.all(Op::kWeight)) {
    const Tensor& tensor = find_weight(weights, graph_.node(id), "weights");
    at::Tensor value = variables_[static_cast<size_t>(variable_of_node_[static_cast<size_t>(id)])].value.detach();
    value.copy_(filter_to_torch(to_torch(tensor, options_.dtype)));
    blank_image_channels(graph_.node(id).name, value);
  }
}

NamedTensors Network::export_variables() const {
  NamedTensors result;
  for (const Variable& variable : variables_) result[variable.name] = from_torch(filter_from_torch(variable.value));
  return result;
}

NamedTensors Network::export_flat(const at::Tensor& flat) const {
  PFX_CHECK(flat.numel() >= trainable_count_);
  const at::Tensor host = flat.to(at::kCPU);
  NamedTensors result;
  for (const Variable& variable : variables_) {
    if (!variable.trainable) continue;
    const Shape& stored = graph_.node(graph_.find(variable.name)).type.shape;
    result[variable.name] = from_torch(filter_from_torch(flat_view(host, variable.flat_offset, stored)));
  }
  return result;
}

void Network::import_flat(const NamedTensors& tensors, at::Tensor& flat, const std::string& source) const {
  PFX_CHECK(flat.numel() >= trainable_count_);
  const c10::NoGradGuard no_grad;
  for (const Variable& variable : variables_) {
    if (!variable.trainable) continue;
    const graph::Node& node = graph_.node(graph_.find(variable.name));
    const Tensor& tensor = find_weight(tensors, node, source);
    const at::Tensor values = flat_view(flat, variable.flat_offset, node.type.shape);
    values.copy_(filter_to_torch(to_torch(tensor, options_.dtype)));
    blank_image_channels(variable.name, values);
  }
}

std::vector<at::Tensor> Network::forward(const Inputs& inputs, Mode mode, const std::vector<std::string>& wanted) {
  auto plan = plans_.find(wanted);
  if (plan == plans_.end()) plan = plans_.emplace(wanted, make_plan(graph_, wanted)).first;

  const c10::AutoGradMode grad_mode(mode == Mode::kTraining);
  const at::TensorOptions options = at::TensorOptions().dtype(scalar_type(options_.dtype)).device(device_);
  std::vector<at::Tensor> values(graph_.nodes().size());
  for (size_t i = 0; i < values.size(); ++i) {
    const graph::Node& node = graph_.nodes()[i];
    if (node.op == Op::kWeight) values[i] = variables_[static_cast<size_t>(variable_of_node_[i])].value;
    if (node.op != Op::kInput) continue;
    PFX_CHECK(node.name == "image" || node.name == "pose" || node.name == "valid");
    const at::Tensor& input = node.name == "image" ? inputs.image : node.name == "pose" ? inputs.pose : inputs.valid;
    values[i] = send(input, device_).to(options);
    if (node.name == "image" && options_.blank_image) values[i] = at::zeros_like(values[i]);
    if (values[i].dim() == 4 && options_.channels_last)
      values[i] = values[i].contiguous(at::MemoryFormat::ChannelsLast);
  }
  for (const PlanStep& step : plan->second.steps) {
    values[static_cast<size_t>(step.result)] = run_step(step, values, mode);
    for (const NodeId id : step.last_use) values[static_cast<size_t>(id)].reset();
  }
  std::vector<at::Tensor> results;
  for (const NodeId id : plan->second.results) results.push_back(values[static_cast<size_t>(id)]);
  return results;
}

at::Tensor Network::run_step(const PlanStep& step, const std::vector<at::Tensor>& values, Mode mode) {
  const graph::Node& node = graph_.node(step.node);
  const graph::Attributes& attrs = node.attrs;
  const auto in = [&](size_t i) -> const at::Tensor& { return values[static_cast<size_t>(step.inputs.at(i))]; };
  // What a convolution reads, in its precision; the gradient comes back in the original type.
  const DType precision = mode == Mode::kTraining ? options_.precision : options_.inference_precision;
  const auto operand = [&](size_t i) { return precision == DType::kF32 ? in(i) : in(i).to(scalar_type(precision)); };
  const auto bias = [&] { return attrs.has_bias ? operand(2) : at::Tensor(); };
  const auto finish = [&](at::Tensor y) {
    if (attrs.has_residual || step.adds_residual) y = y + in(step.inputs.size() - 1);
    return attrs.relu || step.relu ? at::relu_(y) : y;
  };
  switch (node.op) {
    case Op::kRenderPose:
      return render_pose(in(0), in(1), attrs.height, attrs.width, attrs.sigma);
    case Op::kConcat: {
      std::vector<at::Tensor> parts;
      for (size_t i = 0; i < step.inputs.size(); ++i) parts.push_back(in(i));
      const at::Tensor joined = at::cat(parts, 1);
      return options_.channels_last ? joined.contiguous(at::MemoryFormat::ChannelsLast) : joined;
    }
    case Op::kPad:
      return pad(in(0), step.pads);
    case Op::kConv2d:
      return finish(conv2d(operand(0), operand(1), bias(), attrs.stride, step.pads));
    case Op::kConvTranspose2d:
      return finish(conv_transpose2d_same(operand(0), operand(1), bias(), attrs.stride));
    case Op::kBatchNorm: {
      const bool trains = mode == Mode::kTraining && in(1).requires_grad();
      BatchNormState state{in(3), in(4), 1 - options_.batch_norm_decay, attrs.epsilon};
      if (trains && options_.gather) return finish(sync_batch_norm(in(0), in(1), in(2), state, options_.gather));
      if (trains && batch_norm_fits(in(0), in(1))) {
        const at::Tensor residual = step.adds_residual ? in(step.inputs.size() - 1) : at::Tensor();
        return batch_norm(in(0), in(1), in(2), state, {residual, step.relu});
      }
      return finish(at::batch_norm(in(0), in(1), in(2), in(3), in(4), trains, state.momentum, attrs.epsilon, true));
    }
    case Op::kBiasAdd:
      return in(0) + in(1).view({1, -1, 1, 1});
    case Op::kRelu:
      if (!step.in_place) return at::relu(in(0));
      {
        at::Tensor x = in(0);
        return at::relu_(x);
      }
    case Op::kMaxPool:
      return max_pool(in(0), attrs.kernel, attrs.stride, step.pads);
    case Op::kAdd:
      return in(0) + in(1);
    case Op::kSoftArgmax:
      return soft_argmax(in(0));
    case Op::kHeatmapSpread:
      return heatmap_spread(in(0));
    case Op::kScale:
      return in(0) * attrs.factor;
    case Op::kInput:
    case Op::kWeight:
      break;
  }
  throw failed("node {}: {} does not run on LibTorch", node.name, graph::schema(node.op).name);
}

}  // namespace posefix::torchgraph
