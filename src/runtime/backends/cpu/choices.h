// The ways in which a convolution can be computed on this CPU, and the one that is taken where nothing was measured.
//
// `kernels`: own ones that suit the maps at hand, null: none. A spec with a phase stands for all four of a transposed
// convolution, which are computed alike. Every way gives the same values up to rounding, in the same formats of maps.
#pragma once

#include <vector>

#include "plan/choice.h"
#include "runtime/backends/cpu/onednn.h"

namespace posefix::runtime::cpu {

// The rule.
plan::Choice default_choice(const ConvSpec& spec, const blocked::Kernels* kernels, const WeightStore& weights);

// All, each once, the rule's first.
std::vector<plan::Choice> candidates(const ConvSpec& spec, const blocked::Kernels* kernels, const WeightStore& weights,
                                     bool has_onednn_winograd);

// The form of an own Winograd choice. PFX_CHECK that there is one.
const blocked::Winograd& form_of(const blocked::Kernels& kernels, const ConvSpec& spec, const plan::Choice& choice);

blocked::Convolution convolution_of(const ConvSpec& spec);

}  // namespace posefix::runtime::cpu
