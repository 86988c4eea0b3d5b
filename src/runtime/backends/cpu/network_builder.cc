#include "runtime/backends/cpu/network_builder.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace posefix::runtime::cpu {
namespace {

using plan::Op;
using plan::Step;

// Channels of a blocked f32 map on this CPU, or 0 if maps stay nhwc.
int64_t block_of(const plan::Plan& plan) {
  if (plan.metadata.precision == "bf16") return 0;
  const int64_t block = has_instructions(dnnl::cpu_isa::avx512_core) ? 16 : 8;
  constexpr int64_t kImageChannels = 3;
  for (const plan::TensorInfo& t : plan.tensors) {
    const bool is_end = t.channels == kImageChannels || t.channels == plan.metadata.joints ||
                        t.channels == kImageChannels + plan.metadata.joints;
    if (!is_end && t.channels % block != 0) return 0;
  }
  return block;
}

}  // namespace

NetworkBuilder::NetworkBuilder(Network& network, const plan::Plan& plan, const plan::Tuning* tuning,
                               WeightStore& weights, std::byte* arena)
    : network_(network),
      plan_(plan),
      tuning_(tuning),
      weights_(weights),
      arena_(arena),
      block_(block_of(plan)),
      kernels_(block_ != 0 ? &blocked::kernels_for(block_) : nullptr),
      bf16_kernels_(blocked::kernels_for_bf16()) {
  network_.values_.resize(plan.tensors.size());
}

void NetworkBuilder::build() {
  for (const Step& step : plan_.steps) add(step);
}

void NetworkBuilder::add(const Step& step) {
  switch (step.op) {
    case Op::kAssembleInput:
    case Op::kNormaliseImage:
      return add_source(step);
    case Op::kPoseStem:
      return add_pose_stem(step);
    case Op::kConv2d:
      return add_convolution(step);
    case Op::kConvTranspose2d:
      return add_transposed(step);
    case Op::kMaxPool:
      return add_max_pool(step);
    case Op::kPad:
      return add_pad(step);
    case Op::kChannelAffine:
    case Op::kRelu:
    case Op::kAdd:
      return add_element_wise(step);
    case Op::kConcat:
      return add_concat(step);
    case Op::kDecode:
      return add_decode(step);
    case Op::kConvert:
      return add_convert(step);
  }
}

Desc NetworkBuilder::plain(int32_t id, Tag tag) const {
  const plan::TensorInfo& t = info(id);
  return {{network_.batch_, t.channels, t.height, t.width}, type_of(t.dtype), tag};
}

Desc NetworkBuilder::preferred(int32_t id) const {
  const bool is_blocked = block_ != 0 && info(id).dtype == DType::kF32 && info(id).channels % block_ == 0;
  if (!is_blocked) return plain(id, Tag::nhwc);
  return plain(id, block_ == 16 ? Tag::nChw16c : Tag::nChw8c);
}

Tag NetworkBuilder::format_of(const Desc& desc) const {
  const Layout layout = layout_of(desc);
  const bool is_blocked = block_ != 0 && layout.block == block_ && static_cast<Type>(desc.data.data_type) == Type::f32;
  if (!is_blocked) return tag_of(layout);
  return block_ == 16 ? Tag::nChw16c : Tag::nChw8c;
}

NetworkBuilder::Value& NetworkBuilder::set_value(int32_t id, const Desc& desc) {
  PFX_CHECK(desc.get_size() <= info(id).bytes * static_cast<uint64_t>(network_.batch_));
  value(id) = {desc, place(id), 1, scale_of(id)};
  return value(id);
}

float NetworkBuilder::scale_of(int32_t id) const {
  const plan::TensorInfo& t = info(id);
  return t.dtype == DType::kI8 || t.dtype == DType::kU8 ? t.scale : 1;
}

const NetworkBuilder::Value& NetworkBuilder::whole(int32_t id) {
  PFX_CHECK(value(id).phases == 1);
  return value(id);
}

size_t NetworkBuilder::scratch_region(size_t bytes, size_t& used) {
  const size_t offset = used;
  used = (used + bytes + 63) / 64 * 64;
  network_.scratch_bytes_ = std::max(network_.scratch_bytes_, used);
  return offset;
}

dnnl::memory NetworkBuilder::scratch(const Desc& desc, size_t& used) {
  if (desc.get_size() == 0) return {};
  dnnl::memory memory(desc, network_.engine_, nullptr);
  network_.scratch_uses_.push_back({memory, scratch_region(desc.get_size(), used)});
  return memory;
}

Call& NetworkBuilder::new_call() {
  network_.calls_.push_back(std::make_unique<Call>());
  return *network_.calls_.back();
}

void NetworkBuilder::add_reorder(dnnl::memory from, dnnl::memory to, std::vector<Call*>& calls) {
  Call& call = new_call();
  call.set(dnnl::reorder(from, to), {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
  calls.push_back(&call);
}

dnnl::memory NetworkBuilder::adapted(const Value& source, const Desc& wanted, std::vector<Call*>& calls, size_t& used) {
  if (source.desc == wanted) return memory(source);
  dnnl::memory reordered = scratch(wanted, used);
  add_reorder(memory(source), reordered, calls);
  return reordered;
}

void NetworkBuilder::finish(const Step& step, const std::string& kernel, std::vector<Call*> calls) {
  Network* network = &network_;
  finish(step, kernel, [network, calls = std::move(calls)](const RunContext&) {
    for (const Call* call : calls) call->run(network->stream_);
  });
}

void NetworkBuilder::finish(const Step& step, const std::string& kernel, std::function<void(const RunContext&)> run) {
  network_.operations_.push_back({step.name, std::string(plan::op_name(step.op)) + " " + kernel,
                                  step_precision(plan_, step), static_cast<int32_t>(&step - plan_.steps.data()),
                                  std::exchange(candidates_, {}),
                                  step_flop(plan_, step) * static_cast<double>(network_.batch_),
                                  step_bytes(plan_, step, network_.batch_), std::move(run)});
}

void NetworkBuilder::add_source(const Step& step) {
  const Value& v = set_value(
      step.output, step.op == Op::kNormaliseImage ? image_format(step.output) : plain(step.output, Tag::nhwc));
  const Layout layout = layout_of(v.desc);
  const plan::Metadata& m = plan_.metadata;
  const Target y{v.data, info(step.output).dtype == DType::kBF16};
  const bool with_pose = step.op == Op::kAssembleInput;
  finish(step, "own",
         [=, this_batch = network_.batch_, mean = m.mean_bgr, joints = m.joints,
          sigma_px = step.sigma_px](const RunContext& context) {
           normalise_image(this_batch, layout, mean, context.input->crops.data(), y);
           if (!with_pose) return;
           const Gaussians gaussians{
               context.input->pose.data(), context.input->valid.data(), joints, layout.height, layout.width, sigma_px};
           render_pose(this_batch, layout, gaussians, y);
         });
}

void NetworkBuilder::add_pose_stem(const Step& step) {
  const Value& v = set_value(step.output, preferred(step.output));
  const plan::Metadata& m = plan_.metadata;
  const Shape& w = plan_.weight_infos[static_cast<size_t>(step.weights[0])].shape;
  const Tensor weights = plan_.values(step.weights[0]);
  network_.stems_.push_back(std::make_unique<PoseStem>(weights.f32().data(), w[0], w[1], m.joints, step.stride,
                                                       step.pads[0], step.pads[2], layout_of(v.desc)));
  PoseStem* stem = network_.stems_.back().get();
  const Target y{v.data, info(step.output).dtype == DType::kBF16};
  finish(
      step, "own",
      [=, batch = network_.batch_, joints = m.joints, height = m.height, width = m.width,
       sigma_px = step.sigma_px](const RunContext& context) {
        stem->run(batch, {context.input->pose.data(), context.input->valid.data(), joints, height, width, sigma_px}, y);
      });
}

void NetworkBuilder::add_max_pool(const Step& step) {
  const Value& x = whole(step.inputs[0]);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const plan::TensorInfo& in = info(step.inputs[0]);
  const plan::TensorInfo& out = info(step.output);
  // The padding that the last window really reaches.
  const int64_t bottom = (out.height - 1) * step.stride + step.kernel - in.height - step.pads[0];
  const int64_t right = (out.width - 1) * step.stride + step.kernel - in.width - step.pads[2];
  const dnnl::pooling_forward::desc description(
      dnnl::prop_kind::forward_inference, dnnl::algorithm::pooling_max, x.desc, preferred(step.output),
      {step.stride, step.stride}, {step.kernel, step.kernel}, {step.pads[0], step.pads[2]}, {bottom, right});
  const dnnl::pooling_forward::primitive_desc chosen(description, attributes, network_.engine_);
  const Value& y = set_value(step.output, chosen.dst_desc());
  size_t used = 0;
  Call& call = new_call();
  call.set(dnnl::pooling_forward(chosen), {{DNNL_ARG_SRC, memory(x)},
                                           {DNNL_ARG_DST, memory(y)},
                                           {DNNL_ARG_SCRATCHPAD, scratch(chosen.scratchpad_desc(), used)}});
  finish(step, chosen.impl_info_str(), {&call});
}

void NetworkBuilder::add_pad(const Step& step) {
  const Value& x = whole(step.inputs[0]);
  const Layout in = layout_of(x.desc);
  const Value& y = set_value(step.output, plain(step.output, format_of(x.desc)));
  const size_t value_bytes = dtype_size(info(step.output).dtype);
  finish(step, "own",
         [=, batch = network_.batch_, out = layout_of(y.desc), from = x.data, to = y.data, top = step.pads[0],
          left = step.pads[2]](const RunContext&) { pad(batch, in, out, top, left, value_bytes, from, to); });
}

void NetworkBuilder::add_element_wise(const Step& step) {
  using dnnl::algorithm;
  const Value x = whole(step.inputs[0]);
  const Value& y = set_value(step.output, x.desc);
  std::vector<Call*> calls;
  size_t used = 0;
  const auto binary = [&](algorithm algorithm, const dnnl::memory& a, const dnnl::memory& b) {
    const dnnl::binary::primitive_desc chosen({algorithm, a.get_desc(), b.get_desc(), y.desc}, network_.engine_);
    calls.push_back(&new_call());
    calls.back()->set(dnnl::binary(chosen), {{DNNL_ARG_SRC_0, a}, {DNNL_ARG_SRC_1, b}, {DNNL_ARG_DST, memory(y)}});
  };
  const auto per_channel = [&](int32_t id) {
    const dnnl::memory values = weights_.vector(id);
    return dnnl::memory({{1, info(step.output).channels, 1, 1}, Type::f32, Tag::nchw}, network_.engine_,
                        values.get_data_handle());
  };
  if (step.op == Op::kAdd) {
    const Value& second = whole(step.inputs[1]);
    binary(algorithm::binary_add, memory(x), adapted(second, x.desc, calls, used));
  } else if (step.op == Op::kChannelAffine) {
    binary(algorithm::binary_mul, memory(x), per_channel(step.weights[0]));
    binary(algorithm::binary_add, memory(y), per_channel(step.weights[1]));
  }
  if (step.op == Op::kRelu || step.relu) {
    const Value& from = step.op == Op::kRelu ? x : y;
    const dnnl::eltwise_forward::primitive_desc chosen(
        {dnnl::prop_kind::forward_inference, algorithm::eltwise_relu, from.desc, 0.0F, 0.0F}, network_.engine_);
    calls.push_back(&new_call());
    calls.back()->set(dnnl::eltwise_forward(chosen), {{DNNL_ARG_SRC, memory(from)}, {DNNL_ARG_DST, memory(y)}});
  }
  finish(step, "onednn", std::move(calls));
}

void NetworkBuilder::add_concat(const Step& step) {
  std::vector<Desc> sources;
  std::vector<std::pair<int, dnnl::memory>> memories;
  std::vector<Call*> calls;
  size_t used = 0;
  for (const int32_t id : step.inputs) {
    const Desc wanted = plain(id, Tag::nhwc);
    sources.push_back(wanted);
    memories.emplace_back(DNNL_ARG_MULTIPLE_SRC + static_cast<int>(memories.size()),
                          adapted(whole(id), wanted, calls, used));
  }
  const Value& y = set_value(step.output, plain(step.output, Tag::nhwc));
  const dnnl::concat::primitive_desc chosen(y.desc, 1, sources, network_.engine_);
  memories.emplace_back(DNNL_ARG_DST, memory(y));
  calls.push_back(&new_call());
  calls.back()->set(dnnl::concat(chosen), memories);
  finish(step, chosen.impl_info_str(), std::move(calls));
}

void NetworkBuilder::add_convert(const Step& step) {
  const Value x = whole(step.inputs[0]);
  const Value& y = set_value(step.output, preferred(step.output));
  dnnl::primitive_attr attributes;
  attributes.set_output_scales(0, {x.scale / y.scale});
  const dnnl::reorder::primitive_desc chosen(network_.engine_, x.desc, network_.engine_, y.desc, attributes);
  Call& call = new_call();
  call.set(dnnl::reorder(chosen), {{DNNL_ARG_FROM, memory(x)}, {DNNL_ARG_TO, memory(y)}});
  finish(step, chosen.impl_info_str(), {&call});
}

void NetworkBuilder::add_decode(const Step& step) {
  const Value& x = whole(step.inputs[0]);
  const auto* logits = reinterpret_cast<const float*>(x.data);
  finish(step, "own",
         [=, layout = layout_of(x.desc), batch = network_.batch_, factor = step.factor](const RunContext& context) {
           decode(batch, layout, factor, logits, context.output->coords.data(),
                  context.output->spread.empty() ? nullptr : context.output->spread.data());
         });
}

}  // namespace posefix::runtime::cpu
