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

const blocked::Kernels* NetworkBuilder::kernels_of(const Desc& source, const Desc& result) const {
  const auto type = [](const Desc& desc) { return static_cast<Type>(desc.data.data_type); };
  const bool is_bf16 = type(source) == Type::bf16;
  if (type(source) != type(result) || (!is_bf16 && type(source) != Type::f32)) return nullptr;
  const blocked::Kernels* kernels = is_bf16 ? bf16_kernels_ : kernels_;
  const auto suits = [&](const Desc& desc) {
    const Layout layout = layout_of(desc);
    return layout.channels % kernels->lanes == 0 && (is_bf16 ? layout.blocks == 1 : layout.block == kernels->lanes);
  };
  return kernels != nullptr && suits(source) && suits(result) ? kernels : nullptr;
}

const float* NetworkBuilder::bias_of(const ConvSpec& spec) {
  const dnnl::memory bias = weights_.bias(spec);
  return bias ? static_cast<const float*>(bias.get_data_handle()) : nullptr;
}

const blocked::WinogradConvolution* NetworkBuilder::new_winograd(const blocked::Kernels& kernels,
                                                                 const blocked::Winograd& form, const ConvSpec& spec,
                                                                 const blocked::Convolution& convolution) {
  network_.winograds_.push_back(std::make_unique<blocked::WinogradConvolution>(
      kernels, form, convolution, weights_.packed(kernels, &form, spec), bias_of(spec)));
  return network_.winograds_.back().get();
}

bool NetworkBuilder::add_blocked_convolution(const Step& step) {
  const Value& x = whole(step.inputs[0]);
  const ConvSpec spec = spec_of(step);
  const blocked::Kernels* kernels = kernels_of(x.desc, preferred(step.output));
  // Of bf16 the phases alone: a network's 3x3 convolutions would add a quarter to its error in pixels.
  if (kernels == nullptr || kernels != kernels_ || spec.stride != 1) return false;
  const bool is_pointwise = spec.kernel_height == 1 && spec.kernel_width == 1 && spec.pads == ConvSpec{}.pads;
  const bool is_winograd = spec.kernel_height == 3 && spec.kernel_width == 3 && spec.in_channels >= kFewestChannels &&
                           spec.out_channels >= kFewestChannels;
  if (!is_pointwise && !is_winograd) return false;
  const Value* residual = step.has_residual ? &whole(step.inputs.back()) : nullptr;
  if (residual != nullptr && kernels_of(x.desc, residual->desc) == nullptr) return false;

  std::vector<Call*> calls;
  size_t used = 0;
  const Value& y = set_value(step.output, preferred(step.output));
  if (residual != nullptr) place_residual(*residual, y, tag_of(layout_of(y.desc)), calls, used);
  Network* network = &network_;
  const std::byte* from = x.data;
  std::byte* to = y.data;
  const blocked::Convolution convolution = convolution_of(spec);
  if (is_pointwise) {
    network_.pointwise_.push_back(std::make_unique<blocked::PointwiseConvolution>(
        *kernels, convolution, static_cast<const float*>(weights_.packed(*kernels, nullptr, spec)), bias_of(spec)));
    const blocked::PointwiseConvolution* pointwise = network_.pointwise_.back().get();
    finish(step, fmt::format("own_1x1:{}", kernels->name), [=, calls = std::move(calls)](const RunContext&) {
      for (const Call* call : calls) call->run(network->stream_);
      pointwise->run(reinterpret_cast<const float*>(from), reinterpret_cast<float*>(to));
    });
    return true;
  }
  const blocked::Winograd* form = blocked::choose_form(*kernels, convolution, has_many_weights(spec));
  const blocked::WinogradConvolution* winograd = new_winograd(*kernels, *form, spec, convolution);
  const size_t scratch_at = scratch_region(winograd->scratch_bytes(), used);
  finish(step, name_of(*kernels, *form), [=, calls = std::move(calls)](const RunContext&) {
    for (const Call* call : calls) call->run(network->stream_);
    winograd->run(from, to, network->scratch_ + scratch_at);
  });
  return true;
}

// The four phases as 2x2 convolutions, each of which writes its pixels of the whole map.
bool NetworkBuilder::add_blocked_phases(const Step& step) {
  const Value& x = whole(step.inputs[0]);
  ConvSpec spec = spec_of(step);
  const blocked::Kernels* kernels = kernels_of(x.desc, preferred(step.output));
  if (kernels == nullptr) return false;
  set_phase(spec, 0);
  const blocked::Winograd* form = blocked::choose_form(*kernels, convolution_of(spec), has_many_weights(spec));
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
    phases.push_back(new_winograd(*kernels, *form, spec, convolution));
    scratch_bytes = std::max(scratch_bytes, phases.back()->scratch_bytes());
  }
  size_t used = 0;
  const size_t scratch_at = scratch_region(scratch_bytes, used);
  const Value& y = set_value(step.output, preferred(step.output));
  finish(step, name_of(*kernels, *form) + ", 4 phases",
         [network = &network_, phases, scratch_at, from = x.data, to = y.data](const RunContext&) {
           for (const blocked::WinogradConvolution* phase : phases) {
             phase->run(from, to, network->scratch_ + scratch_at);
           }
         });
  return true;
}

}  // namespace posefix::runtime::cpu
