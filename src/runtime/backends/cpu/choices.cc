#include "runtime/backends/cpu/choices.h"

#include <algorithm>

#include "base/error.h"

namespace posefix::runtime::cpu {
namespace {

using plan::Choice;
using plan::Method;

// A 3x3 convolution of fewer channels spends its time in Winograd's transforms.
constexpr int64_t kFewestChannels = 32;
// With stride 2 every parity of the pixels has transforms of its own.
constexpr int64_t kFewestStridedChannels = 64;
// Above so many weights per tap the forms with large windows would take more memory than they are worth.
constexpr int64_t kManyWeights = int64_t{1} << 18;
constexpr int64_t kManyStridedWeights = int64_t{1} << 15;  // 25 instead of 81 products per weight
// Of such a convolution the weights are what takes the time, unless many pixels share them.
constexpr int64_t kManyPixels = 192;

bool is_pointwise(const ConvSpec& spec) {
  return spec.kernel_height == 1 && spec.kernel_width == 1 && spec.stride == 1 && spec.pads == ConvSpec{}.pads;
}

// Taps of Winograd's forms for such a filter; 0: there are none.
int64_t form_taps(const ConvSpec& spec) {
  return spec.kernel_height == spec.kernel_width ? blocked::form_taps(spec.kernel_height, spec.stride) : 0;
}

Choice choice_of(const blocked::Winograd& form) {
  return {Method::kOwnWinograd, static_cast<uint32_t>(form.tile_height), static_cast<uint32_t>(form.tile_width)};
}

}  // namespace

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
  c.stride = spec.stride;
  c.pad_top = spec.pads[0];
  c.pad_left = spec.pads[2];
  c.adds = spec.residual;
  c.relu = spec.relu;
  return c;
}

Choice default_choice(const ConvSpec& spec, const blocked::Kernels* kernels, const WeightStore& weights) {
  const Choice onednn{Method::kOneDnn};
  if (kernels == nullptr) return onednn;
  if (is_pointwise(spec)) return {Method::kOwnPointwise};
  if (form_taps(spec) == 0) return onednn;
  const int64_t many = spec.stride == 1 ? kManyWeights : kManyStridedWeights;
  const bool has_many_weights = spec.in_channels * spec.out_channels > many;
  const blocked::Winograd* form = blocked::choose_form(*kernels, convolution_of(spec), has_many_weights);
  if (form == nullptr) return onednn;
  const bool is_plain = spec.phase < 0;
  if (is_plain) {
    const int64_t fewest = spec.stride == 1 ? kFewestChannels : kFewestStridedChannels;
    if (std::min(spec.in_channels, spec.out_channels) < fewest) return onednn;
  }
  if (is_plain && spec.stride == 1) return choice_of(*form);
  const bool pays = !has_many_weights || spec.batch * spec.out_height * spec.out_width >= kManyPixels ||
                    weights.has_packed(form, spec);
  return pays ? choice_of(*form) : onednn;
}

std::vector<Choice> candidates(const ConvSpec& spec, const blocked::Kernels* kernels, const WeightStore& weights,
                               bool has_onednn_winograd) {
  std::vector<Choice> all{default_choice(spec, kernels, weights)};
  const auto add = [&](const Choice& choice) {
    if (std::find(all.begin(), all.end(), choice) == all.end()) all.push_back(choice);
  };
  add({Method::kOneDnn});
  if (has_onednn_winograd) add({Method::kOneDnnWinograd});
  if (kernels == nullptr) return all;
  if (is_pointwise(spec)) {
    add({Method::kOwnPointwise});
  } else if (const int64_t taps = form_taps(spec); taps != 0) {
    for (const blocked::Winograd& form : kernels->winograd) {
      if (form.taps == taps) add(choice_of(form));
    }
  }
  return all;
}

const blocked::Winograd& form_of(const blocked::Kernels& kernels, const ConvSpec& spec, const Choice& choice) {
  const auto is_it = [&](const blocked::Winograd& form) {
    return form.taps == form_taps(spec) && choice_of(form) == choice;
  };
  const auto* found = std::find_if(std::begin(kernels.winograd), std::end(kernels.winograd), is_it);
  PFX_CHECK(found != std::end(kernels.winograd));
  return *found;
}

}  // namespace posefix::runtime::cpu
