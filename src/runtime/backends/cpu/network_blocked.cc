// Convolutions of a Network that run on own kernels.
#include <fmt/format.h>

#include <algorithm>

#include "runtime/backends/cpu/choices.h"
#include "runtime/backends/cpu/network_builder.h"

namespace posefix::runtime::cpu {
namespace {

using plan::Step;

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

const blocked::Kernels* NetworkBuilder::kernels_for_convolution(const Step& step) {
  const Value& x = whole(step.inputs[0]);
  const blocked::Kernels* kernels = kernels_of(x.desc, preferred(step.output));
  // Of bf16 the phases alone: a network's 3x3 convolutions would add a quarter to its error in pixels.
  if (kernels == nullptr || kernels != kernels_) return nullptr;
  if (step.has_residual && kernels_of(x.desc, whole(step.inputs.back()).desc) == nullptr) return nullptr;
  return kernels;
}

void NetworkBuilder::add_blocked_convolution(const Step& step, const blocked::Kernels& kernels,
                                             const plan::Choice& choice) {
  const Value& x = whole(step.inputs[0]);
  const ConvSpec spec = spec_of(step);
  std::vector<Call*> calls;
  size_t used = 0;
  const Value& y = set_value(step.output, preferred(step.output));
  if (step.has_residual) place_residual(whole(step.inputs.back()), y, format_of(y.desc), calls, used);
  Network* network = &network_;
  const std::byte* from = x.data;
  std::byte* to = y.data;
  const blocked::Convolution convolution = convolution_of(spec);
  if (choice.method == plan::Method::kOwnPointwise) {
    network_.pointwise_.push_back(std::make_unique<blocked::PointwiseConvolution>(
        kernels, convolution, static_cast<const float*>(weights_.packed(kernels, nullptr, spec)), bias_of(spec)));
    const blocked::PointwiseConvolution* pointwise = network_.pointwise_.back().get();
    finish(step, fmt::format("own_1x1:{}", kernels.name), [=, calls = std::move(calls)](const RunContext&) {
      for (const Call* call : calls) call->run(network->stream_);
      pointwise->run(reinterpret_cast<const float*>(from), reinterpret_cast<float*>(to));
    });
    return;
  }
  const blocked::Winograd& form = form_of(kernels, spec, choice);
  const blocked::WinogradConvolution* winograd = new_winograd(kernels, form, spec, convolution);
  const size_t scratch_at = scratch_region(winograd->scratch_bytes(), used);
  finish(step, name_of(kernels, form), [=, calls = std::move(calls)](const RunContext&) {
    for (const Call* call : calls) call->run(network->stream_);
    winograd->run(from, to, network->scratch_ + scratch_at);
  });
}

// The four phases as 2x2 convolutions, each of which writes its pixels of the whole map.
void NetworkBuilder::add_blocked_phases(const Step& step, const blocked::Kernels& kernels, const plan::Choice& choice) {
  const Value& x = whole(step.inputs[0]);
  ConvSpec spec = spec_of(step);
  set_phase(spec, 0);
  const blocked::Winograd& form = form_of(kernels, spec, choice);
  std::vector<const blocked::WinogradConvolution*> phases;
  size_t scratch_bytes = 0;
  for (int phase = 0; phase < kPhases; ++phase) {
    set_phase(spec, phase);
    blocked::Convolution convolution = convolution_of(spec);
    convolution.step = 2;
    convolution.first_row = phase / 2;
    convolution.first_column = phase % 2;
    phases.push_back(new_winograd(kernels, form, spec, convolution));
    scratch_bytes = std::max(scratch_bytes, phases.back()->scratch_bytes());
  }
  size_t used = 0;
  const size_t scratch_at = scratch_region(scratch_bytes, used);
  const Value& y = set_value(step.output, preferred(step.output));
  finish(step, name_of(kernels, form) + ", 4 phases",
         [network = &network_, phases, scratch_at, from = x.data, to = y.data](const RunContext&) {
           for (const blocked::WinogradConvolution* phase : phases) {
             phase->run(from, to, network->scratch_ + scratch_at);
           }
         });
}

}  // namespace posefix::runtime::cpu
