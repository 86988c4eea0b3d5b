// What int8 costs each convolution by itself, measured beside the f32 network:
//
//   x f32 ─┬─ Conv2d ─────────────────────────────── ...
//          ├─ Conv2d without ReLU and residual ───── compared
//          └─ Convert(range r) ─ Conv2d int8 ─────── with, for every range r
//
// so every convolution sees the input that it has in the f32 network.
#pragma once

#include <vector>

#include "compiler/int8/calibrate.h"
#include "compiler/int8/ranges.h"

namespace posefix::compiler {

struct TwinError {
  double relative = 0;       // rms of the result's error over rms of the result, after the shift is taken off
  std::vector<float> shift;  // [out] mean error
};

// By step of `steps` (quantisable ones) and range; `ranges` by tensor. Works on as many steps at a time as fit into
// some memory. Steps whose input is all zeros are left empty.
std::vector<std::array<TwinError, kRanges>> measure_twins(const Program& program, const std::vector<size_t>& steps,
                                                          const std::vector<Ranges>& ranges, const Persons& persons,
                                                          int64_t count);

// Bytes of f32 values that kept tensors may take per person.
inline constexpr uint64_t kKeptBytes = uint64_t{192} << 20;

}  // namespace posefix::compiler
