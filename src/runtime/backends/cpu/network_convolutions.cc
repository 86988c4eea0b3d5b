// Convolutions and transposed convolutions of a Network.
#include <algorithm>

#include "runtime/backends/cpu/choices.h"
#include "runtime/backends/cpu/network_builder.h"

namespace posefix::runtime::cpu {
namespace {

using plan::Op;
using plan::Step;

}  // namespace

void set_phase(ConvSpec& spec, int phase) {
  spec.phase = phase;
  spec.kernel_height = spec.kernel_width = 2;
  spec.stride = 1;
  spec.out_height = spec.in_height;
  spec.out_width = spec.in_width;
  spec.pads = {phase / 2 == 0 ? 1 : 0, phase / 2 == 0 ? 0 : 1, phase % 2 == 0 ? 1 : 0, phase % 2 == 0 ? 0 : 1};
}

ConvSpec NetworkBuilder::spec_of(const Step& step) const {
  const plan::TensorInfo& in = info(step.inputs[0]);
  const plan::TensorInfo& out = info(step.output);
  const Shape& w = plan_.weight_infos[static_cast<size_t>(step.weights[0])].shape;
  ConvSpec spec;
  spec.weights = step.weights[0];
  spec.bias = step.has_bias ? step.weights[1] : -1;
  spec.batch = network_.batch_;
  spec.in_channels = in.channels;
  spec.out_channels = out.channels;
  spec.kernel_height = w[0];
  spec.kernel_width = w[1];
  spec.in_height = in.height;
  spec.in_width = in.width;
  spec.out_height = out.height;
  spec.out_width = out.width;
  spec.stride = step.stride;
  // The padding that the last window really reaches.
  spec.pads = {step.pads[0], (out.height - 1) * step.stride + w[0] - in.height - step.pads[0], step.pads[2],
               (out.width - 1) * step.stride + w[1] - in.width - step.pads[2]};
  spec.relu = step.relu;
  spec.residual = step.has_residual;
  spec.scales = plan::weight_scales(plan_, step);
  spec.is_whole = spec.scales >= 0 && in.dtype != DType::kF32;
  spec.in_scale = scale_of(step.inputs[0]);
  spec.out_scale = scale_of(step.output);
  if (step.has_residual) {
    spec.residual_scale = scale_of(step.inputs.back());
    spec.residual_type = type_of(info(step.inputs.back()).dtype);
  }
  return spec;
}

Desc NetworkBuilder::image_format(int32_t id) {
  const auto reads = [&](const Step& s) { return s.op == Op::kConv2d && s.inputs[0] == id; };
  const auto reader = std::find_if(plan_.steps.begin(), plan_.steps.end(), reads);
  if (reader != plan_.steps.end()) {
    for (const Tag tag : {Tag::nchw, Tag::nhwc}) {
      const Desc source = plain(id, tag);
      const ConvPrimitive chosen = weights_.choose(spec_of(*reader), source, preferred(reader->output));
      if (!is_slow(chosen.impl_info_str())) return source;
    }
  }
  return plain(id, Tag::nhwc);
}

bool NetworkBuilder::is_read_by_1x1_alone(int32_t id) const {
  for (const plan::KeptTensor& kept : plan_.kept) {
    if (kept.tensor == id) return false;
  }
  for (const Step& step : plan_.steps) {
    if (std::find(step.inputs.begin(), step.inputs.end(), id) == step.inputs.end()) continue;
    const bool is_conv = step.op == Op::kConv2d && !step.has_residual && step.stride == 1 && step.pads[0] == 0;
    if (!is_conv) return false;
    const Shape& w = plan_.weight_infos[static_cast<size_t>(step.weights[0])].shape;
    if (w[0] != 1 || w[1] != 1) return false;
  }
  return true;
}

bool NetworkBuilder::splits_into_phases(const Step& step) const {
  const Shape& w = plan_.weight_infos[static_cast<size_t>(step.weights[0])].shape;
  return step.stride == 2 && w[0] == 4 && w[1] == 4;
}

Call& NetworkBuilder::convolution_call(const ConvPrimitive& chosen, const ConvSpec& spec, const dnnl::memory& source,
                                       const dnnl::memory& destination, size_t& used) {
  Call& call = new_call();
  call.set(dnnl::convolution_forward(chosen), {{DNNL_ARG_SRC, source},
                                               {DNNL_ARG_WEIGHTS, weights_.weights(spec, chosen.weights_desc())},
                                               {DNNL_ARG_BIAS, weights_.bias(spec)},
                                               {DNNL_ARG_DST, destination},
                                               {DNNL_ARG_SCRATCHPAD, scratch(chosen.scratchpad_desc(), used)}});
  return call;
}

ConvPrimitive NetworkBuilder::choose(const ConvSpec& spec, const Desc& source, const Desc& result, bool fixes_result) {
  const auto any = [](Desc desc) {
    desc.data.format_kind = dnnl_format_kind_any;
    return desc;
  };
  ConvPrimitive chosen = weights_.choose(spec, source, result);
  for (const bool free_source : {false, true}) {
    for (const bool free_result : {true, false}) {
      if (!is_slow(chosen.impl_info_str())) return chosen;
      if (free_result && (fixes_result || spec.residual)) continue;
      const ConvPrimitive other =
          weights_.choose(spec, free_source ? any(source) : source, free_result ? any(result) : result);
      if (!is_slow(other.impl_info_str())) chosen = other;
    }
  }
  return chosen;
}

// The residual, in its own element type, where the convolution will add it up.
void NetworkBuilder::place_residual(const Value& residual, const Value& y, Tag tag, std::vector<Call*>& calls,
                                    size_t& used) {
  const Desc wanted(residual.desc.dims(), static_cast<Type>(residual.desc.data.data_type), tag);
  const bool is_there = residual.data == y.data;
  if (is_there && residual.desc == wanted) return;
  dnnl::memory from = memory(residual);
  if (is_there) {  // in another format: by way of a copy
    from = scratch(wanted, used);
    add_reorder(memory(residual), from, calls);
  }
  add_reorder(from, {wanted, network_.engine_, y.data}, calls);
}

plan::Choice NetworkBuilder::take_choice(const Step& step, const ConvSpec& spec, const blocked::Kernels* kernels) {
  const auto index = static_cast<int32_t>(&step - plan_.steps.data());
  const bool may_be_winograd = spec.phase < 0 && spec.kernel_height == 3 && spec.stride == 1 && !spec.is_whole;
  const bool has_winograd =
      may_be_winograd && weights_.winograd(spec, whole(step.inputs[0]).desc, preferred(step.output));
  candidates_ = candidates(spec, kernels, weights_, has_winograd);
  if (tuning_ == nullptr) return candidates_.front();
  const auto tuned = std::find_if(tuning_->choices.begin(), tuning_->choices.end(),
                                  [&](const plan::StepChoice& entry) { return entry.step == index; });
  if (tuned == tuning_->choices.end()) return candidates_.front();
  const auto found = std::find(candidates_.begin(), candidates_.end(), tuned->choice);
  if (found == candidates_.end()) {
    ++network_.missing_choices_;
  } else {
    std::rotate(candidates_.begin(), found, found + 1);
  }
  return candidates_.front();
}

void NetworkBuilder::add_convolution(const Step& step) {
  if (value(step.inputs[0]).phases > 1) return add_phase_wise_convolution(step);
  const blocked::Kernels* kernels = kernels_for_convolution(step);
  const plan::Choice choice = take_choice(step, spec_of(step), kernels);
  switch (choice.method) {
    case plan::Method::kOneDnn:
      return add_onednn_convolution(step, dnnl::algorithm::convolution_direct);
    case plan::Method::kOneDnnWinograd:
      return add_onednn_convolution(step, dnnl::algorithm::convolution_winograd);
    case plan::Method::kOwnPointwise:
    case plan::Method::kOwnWinograd:
      return add_blocked_convolution(step, *kernels, choice);
  }
}

void NetworkBuilder::add_onednn_convolution(const Step& step, dnnl::algorithm algorithm) {
  const Value& x = whole(step.inputs[0]);
  const ConvSpec spec = spec_of(step);
  std::vector<Call*> calls;
  size_t used = 0;

  // A residual that lies where the result goes fixes the result's format.
  const Value* residual = step.has_residual ? &whole(step.inputs.back()) : nullptr;
  const Tag tag = residual != nullptr && !spec.is_whole ? format_of(residual->desc) : Tag::nhwc;
  const bool is_free = residual == nullptr && !spec.is_whole;
  const Desc result = is_free ? preferred(step.output) : plain(step.output, tag);
  const ConvPrimitive chosen = algorithm == dnnl::algorithm::convolution_winograd
                                   ? weights_.winograd(spec, x.desc, result)
                                   : choose(spec, x.desc, result);
  const Value& y = set_value(step.output, chosen.dst_desc());
  if (residual != nullptr) place_residual(*residual, y, tag, calls, used);
  const dnnl::memory source = adapted(x, chosen.src_desc(), calls, used);
  calls.push_back(&convolution_call(chosen, spec, source, memory(y), used));
  finish(step, chosen.impl_info_str(), std::move(calls));
}

// x lies in phases: a 1x1 convolution works on each by itself. The result is interleaved, or stays in phases if all its
// readers are 1x1 convolutions again.
void NetworkBuilder::add_phase_wise_convolution(const Step& step) {
  const Value x = value(step.inputs[0]);
  ConvSpec spec = spec_of(step);
  spec.in_height = spec.out_height /= 2;
  spec.in_width = spec.out_width /= 2;
  const Desc plain_result({network_.batch_, spec.out_channels, spec.out_height, spec.out_width},
                          type_of(info(step.output).dtype), Tag::nhwc);
  const ConvPrimitive chosen = choose(spec, x.desc, plain_result);
  const Desc result = chosen.dst_desc();
  size_t used = 0;
  const size_t phase_bytes = result.get_size();
  const size_t phases_at = scratch_region(kPhases * phase_bytes, used);
  std::vector<Call*> calls;
  for (int phase = 0; phase < kPhases; ++phase) {
    size_t used_by_phase = used;
    const Value part{x.desc, x.data + static_cast<size_t>(phase) * x.desc.get_size(), 1, x.scale};
    dnnl::memory to(result, network_.engine_, nullptr);
    network_.scratch_uses_.push_back({to, phases_at + static_cast<size_t>(phase) * phase_bytes});
    const dnnl::memory source = adapted(part, chosen.src_desc(), calls, used_by_phase);
    calls.push_back(&convolution_call(chosen, spec, source, to, used_by_phase));
  }
  const Value& y = set_value(step.output, plain(step.output, format_of(result)));
  Network* network = &network_;
  const size_t value_bytes = dtype_size(info(step.output).dtype);
  finish(step, chosen.impl_info_str() + std::string(", by phases"),
         [network, calls, phases_at, value_bytes, layout = layout_of(y.desc), to = y.data](const RunContext&) {
           for (const Call* call : calls) call->run(network->stream_);
           interleave_phases(network->batch_, layout, value_bytes, network->scratch_ + phases_at, to);
         });
}

void NetworkBuilder::add_transposed(const Step& step) {
  const Value& x = whole(step.inputs[0]);
  if (splits_into_phases(step)) {
    ConvSpec phase = spec_of(step);
    set_phase(phase, 0);
    const blocked::Kernels* kernels = kernels_of(x.desc, preferred(step.output));
    const plan::Choice choice = take_choice(step, phase, kernels);
    return choice.method == plan::Method::kOwnWinograd ? add_blocked_phases(step, *kernels, choice) : add_phases(step);
  }
  const Shape& w = plan_.weight_infos[static_cast<size_t>(step.weights[0])].shape;
  const Desc any({w[2], w[3], w[0], w[1]}, static_cast<Type>(x.desc.data.data_type), Tag::any);
  const Desc bias = step.has_bias ? Desc({w[2]}, Type::f32, Tag::a) : Desc();
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (step.relu) {
    dnnl::post_ops post_ops;
    post_ops.append_eltwise(1.0F, dnnl::algorithm::eltwise_relu, 0.0F, 0.0F);
    attributes.set_post_ops(post_ops);
  }
  const int64_t top = (w[0] - step.stride) / 2;
  const int64_t left = (w[1] - step.stride) / 2;
  const dnnl::deconvolution_forward::desc description(dnnl::prop_kind::forward_inference,
                                                      dnnl::algorithm::deconvolution_direct, x.desc, any, bias,
                                                      preferred(step.output), {step.stride, step.stride}, {top, left},
                                                      {w[0] - step.stride - top, w[1] - step.stride - left});
  const dnnl::deconvolution_forward::primitive_desc chosen(description, attributes, network_.engine_);
  const Value& y = set_value(step.output, chosen.dst_desc());
  size_t used = 0;
  Call& call = new_call();
  call.set(dnnl::deconvolution_forward(chosen),
           {{DNNL_ARG_SRC, memory(x)},
            {DNNL_ARG_WEIGHTS, weights_.transposed_weights(step.weights[0], chosen.weights_desc())},
            {DNNL_ARG_BIAS, step.has_bias ? weights_.vector(step.weights[1]) : dnnl::memory()},
            {DNNL_ARG_DST, memory(y)},
            {DNNL_ARG_SCRATCHPAD, scratch(chosen.scratchpad_desc(), used)}});
  finish(step, chosen.impl_info_str(), {&call});
}

// A 4x4 transposed convolution with stride 2 is four 2x2 convolutions, one for each parity of the output's row and
// column: measured 3 to 5 times faster than oneDNN's own. Where only 1x1 convolutions read the result, its phases are
// never interleaved.
void NetworkBuilder::add_phases(const Step& step) {
  const Value& x = whole(step.inputs[0]);
  ConvSpec spec = spec_of(step);
  const bool stays_split = is_read_by_1x1_alone(step.output);
  const bool in_blocks = block_ != 0 && !spec.is_whole && spec.out_channels % block_ == 0;
  const Tag tag = !in_blocks ? Tag::nhwc : block_ == 16 ? Tag::nChw16c : Tag::nChw8c;
  const Desc phase_desc({network_.batch_, spec.out_channels, spec.in_height, spec.in_width},
                        type_of(info(step.output).dtype), tag);
  const size_t phase_bytes = phase_desc.get_size();
  size_t used = 0;
  const size_t phases_at = stays_split ? 0 : scratch_region(kPhases * phase_bytes, used);
  std::vector<Call*> calls;
  std::string kernel;
  for (int phase = 0; phase < kPhases; ++phase) {
    set_phase(spec, phase);
    const ConvPrimitive chosen = choose(spec, x.desc, phase_desc, true);
    size_t used_by_phase = used;
    dnnl::memory to(phase_desc, network_.engine_, nullptr);
    if (stays_split) {
      to.set_data_handle(place(step.output) + static_cast<size_t>(phase) * phase_bytes);
    } else {
      network_.scratch_uses_.push_back({to, phases_at + static_cast<size_t>(phase) * phase_bytes});
    }
    const dnnl::memory source = adapted(x, chosen.src_desc(), calls, used_by_phase);
    calls.push_back(&convolution_call(chosen, spec, source, to, used_by_phase));
    kernel = chosen.impl_info_str() + std::string(", 4 phases");
  }
  if (stays_split) {
    PFX_CHECK(kPhases * phase_bytes <= info(step.output).bytes * static_cast<uint64_t>(network_.batch_));
    value(step.output) = {phase_desc, place(step.output), kPhases, scale_of(step.output)};
    return finish(step, kernel, std::move(calls));
  }
  const Value& y = set_value(step.output, plain(step.output, tag));
  Network* network = &network_;
  const size_t value_bytes = dtype_size(info(step.output).dtype);
  finish(step, kernel,
         [network, calls, phases_at, value_bytes, layout = layout_of(y.desc), to = y.data](const RunContext&) {
           for (const Call* call : calls) call->run(network->stream_);
           interleave_phases(network->batch_, layout, value_bytes, network->scratch_ + phases_at, to);
         });
}

}  // namespace posefix::runtime::cpu
