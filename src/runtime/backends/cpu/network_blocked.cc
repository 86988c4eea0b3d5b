// Convolutions of a Network that run on own kernels.
#include <fmt/format.h>

#include "runtime/backends/cpu/network_builder.h"

namespace posefix::runtime::cpu {
namespace {

using plan::Step;

// A 3x3 convolution of fewer channels spends its time in Winograd's transforms.
constexpr int64_t kFewestChannels = 32;
// Above so many weights per tap the forms with large windows would take more memory than they are worth.
constexpr int64_t kManyWeights = int64_t{1} << 18;
// Of such a convolution the weights are what takes the time, unless many pixels share them.
constexpr int64_t kManyPixels = 192;

blocked::Convolution convolution_of(const ConvSpec& spec) {
  blocked::Convolution c;
  c.batch = spec.batch;
  c.in_channels = spec.in_channels;
  c.out_channels = spec.out_channels;
  c.in_height = spec.in_height;
  c.in_width = spec.in_width;
  c.out_height = spec.out_height;
  c.out_width = spec.out_width;
  c.taps = spec.kernel_height;
  c.pad_top = spec.pads[0];
  c.pad_left = spec.pads[2];
  c.adds = spec.residual;
  c.relu = spec.relu;
  return c;
}

bool has_many_weights(const ConvSpec& spec) { return spec.in_channels * spec.out_channels > kManyWeights; }

std::string name_of(const blocked::Kernels& kernels, const blocked::Winograd& form) {
  return fmt::format("own_winograd_{}x{}:{}", form.tile_height, form.tile_width, kernels.name);
}

}  // namespace

bool NetworkBuilder::is_blocked(const Desc& desc) const {
  return block_ != 0 && static_cast<Type>(desc.data.data_type) == Type::f32 &&
         desc.data.format_desc.blocking.inner_nblks == 1 && layout_of(desc).block == block_ &&
         layout_of(desc).channels % block_ == 0;
}

const float* NetworkBuilder::bias_of(const ConvSpec& spec) {
  const dnnl::memory bias = weights_.bias(spec);
  return bias ? static_cast<const float*>(bias.get_data_handle()) : nullptr;
}

const blocked::WinogradConvolution* NetworkBuilder::new_winograd(const blocked::Winograd& form, const ConvSpec& spec,
                                                                 blocked::Convolution convolution) {
  network_.winograds_.push_back(std::make_unique<blocked::WinogradConvolution>(
      *kernels_, form, convolution, weights_.packed(*kernels_, &form, spec), bias_of(spec)));
  return network_.winograds_.back().get();
}

bool NetworkBuilder::add_blocked_convolution(const Step& step) {
  const Value& x = whole(step.inputs[0]);
  const ConvSpec spec = spec_of(step);
  if (!is_blocked(x.desc) || !is_blocked(preferred(step.output)) || spec.stride != 1) return false;
  const bool is_pointwise = spec.kernel_height == 1 && spec.kernel_width == 1 && spec.pads == ConvSpec{}.pads;
  const bool is_winograd = spec.kernel_height == 3 && spec.kernel_width == 3 && spec.in_channels >= kFewestChannels &&
                           spec.out_channels >= kFewestChannels;
  if (!is_pointwise && !is_winograd) return false;
  const Value* residual = step.has_residual ? &whole(step.inputs.back()) : nullptr;
  if (residual != nullptr && !is_blocked(residual->desc)) return false;

  std::vector<Call*> calls;
  size_t used = 0;
  const Value& y = set_value(step.output, preferred(step.output));
  if (residual != nullptr) place_residual(*residual, y, tag_of(layout_of(y.desc)), calls, used);
  Network* network = &network_;
  const auto* from = reinterpret_cast<const float*>(x.data);
  auto* to = reinterpret_cast<float*>(y.data);
  const blocked::Convolution convolution = convolution_of(spec);
  if (is_pointwise) {
    network_.pointwise_.push_back(std::make_unique<blocked::PointwiseConvolution>(
        *kernels_, convolution, weights_.packed(*kernels_, nullptr, spec), bias_of(spec)));
    const blocked::PointwiseConvolution* pointwise = network_.pointwise_.back().get();
    finish(step, fmt::format("own_1x1:{}", kernels_->name), [=, calls = std::move(calls)](const RunContext&) {
      for (const Call* call : calls) call->run(network->stream_);
      pointwise->run(from, to);
    });
    return true;
  }
  const blocked::Winograd* form = blocked::choose_form(*kernels_, convolution, has_many_weights(spec));
  const blocked::WinogradConvolution* winograd = new_winograd(*form, spec, convolution);
  const size_t scratch_at = scratch_region(winograd->scratch_bytes(), used);
  finish(step, name_of(*kernels_, *form), [=, calls = std::move(calls)](const RunContext&) {
    for (const Call* call : calls) call->run(network->stream_);
    winograd->run(from, to, reinterpret_cast<float*>(network->scratch_ + scratch_at));
  });
  return true;
}

// The four phases as 2x2 convolutions, each of which writes its pixels of the whole map.
bool NetworkBuilder::add_blocked_phases(const Step& step) {
  const Value& x = whole(step.inputs[0]);
  ConvSpec spec = spec_of(step);
  if (!is_blocked(x.desc) || !is_blocked(preferred(step.output))) return false;
  set_phase(spec, 0);
  const blocked::Winograd* form = blocked::choose_form(*kernels_, convolution_of(spec), has_many_weights(spec));
  const bool pays = !has_many_weights(spec) || spec.batch * spec.in_height * spec.in_width >= kManyPixels ||
                    weights_.has_packed(form, spec);
  if (!pays) return false;

  std::vector<const blocked::WinogradConvolution*> phases;
  size_t scratch_bytes = 0;
  for (int phase = 0; phase < kPhases; ++phase) {
    set_phase(spec, phase);
    blocked::Convolution convolution = convolution_of(spec);
    convolution.step = 2;
    convolution.first_row = phase / 2;
    convolution.first_column = phase % 2;
    phases.push_back(new_winograd(*form, spec, convolution));
    scratch_bytes = std::max(scratch_bytes, phases.back()->scratch_bytes());
  }
  size_t used = 0;
  const size_t scratch_at = scratch_region(scratch_bytes, used);
  const Value& y = set_value(step.output, preferred(step.output));
  finish(step, name_of(*kernels_, *form) + ", 4 phases",
         [network = &network_, phases, scratch_at, from = x.data, to = y.data](const RunContext&) {
           for (const blocked::WinogradConvolution* phase : phases) {
             phase->run(reinterpret_cast<const float*>(from), reinterpret_cast<float*>(to),
                        reinterpret_cast<float*>(network->scratch_ + scratch_at));
           }
         });
  return true;
}

}  // namespace posefix::runtime::cpu
