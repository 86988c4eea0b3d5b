// A program in f32 -> the same program in int8, given the ranges of its maps.
//
//   f32 ── Conv2d(W f32) ── f32     =>    u8 ── Conv2d(W i8, scales) ── u8
//
// Weights are symmetric with one scale per output channel, maps have one scale each: u8 where they are never negative
// (after a ReLU), i8 elsewhere. A residual is added as it is stored, by its own scale. The input steps, the first
// convolution (it reads the picture), what decoding reads and everything that is no convolution stay f32, with a
// kConvert where the two meet; a map is written in f32 only if nobody reads whole numbers from it.
// Non-goals: choosing ranges (calibrate.h).
#pragma once

#include <cstdint>
#include <vector>

#include "compiler/program.h"

namespace posefix::compiler {

struct Quantisation {
  std::vector<double> largest;                 // by tensor: |value| that the largest code stands for; 0: stays f32
  std::vector<bool> in_f32;                    // by step
  std::vector<std::vector<float>> bias_shift;  // by step: [out] to add to the bias; may be empty
};

// The program's convolutions that can be computed in int8: step indices.
std::vector<size_t> quantisable_steps(const plan::Plan& plan);

// A map's type and scale for a range. `is_signed`: i8, else u8.
void set_range(plan::TensorInfo& tensor, bool is_signed, double largest);
// By tensor: false where values are never negative.
std::vector<bool> signed_tensors(const plan::Plan& plan);

// Gives the step i8 weights with scales made from its f32 weights.
void quantise_weights(Program& program, plan::Step& step);

// Steps with an index that is not quantisable_steps(), or that `in_f32` names, keep their arithmetic. Memory is not
// planned yet.
Program quantise(const Program& program, const Quantisation& quantisation);

}  // namespace posefix::compiler
