// Finds how to quantise a network from persons as it will see them, and quantises it.
//
// 1. Ranges. The f32 network runs over the calibration persons. For every map three ranges are made from the histogram
//    of |value|: the largest value, the 99.99th percentile, and the one with the least mean-square error.
// 2. Choice. Beside every convolution of the f32 network stand its int8 twins, one for each range of its input. The
//    range with the least error in the convolution's result is taken.
// 3. Bias. The mean error of each output channel, measured at the same time, is subtracted from its bias.
// 4. Fallback. While the answer on persons held out is further from f32 than `max_drop`, convolutions go back to f32,
//    the most sensitive first: those that alone in int8 move the answer most.
// The result depends on the machine as far as sums in f32 do.
// Source of 2 and 3: Nagel et al., "A white paper on neural network quantization", 2021, sections 3.1 and 3.3.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "compiler/program.h"
#include "runtime/session.h"

namespace posefix::compiler {

// Persons as a session takes them, any number.
struct Persons {
  int64_t size = 0;
  std::vector<uint8_t> crops;  // [size,H,W,3] BGR
  std::vector<float> pose;     // [size,K,2] crop_px
  std::vector<float> valid;    // [size,K]
};

struct QuantisedLayer {
  std::string name;
  std::string range;           // of its input: "largest", "percentile", "mean square"
  double error = 0;            // of its result: rms relative to the result's, bias corrected
  double sensitivity_px = -1;  // how far the answer moves with this layer alone in int8; -1: not measured
  bool in_f32 = false;         // fell back
};

struct Int8Report {
  std::vector<QuantisedLayer> layers;  // in execution order
  double mean_px = 0;                  // on persons held out, against f32: crop_px
  double worst_px = 0;
  double drop = 0;  // in the unit of max_drop
  std::string backend;
};

struct Int8Request {
  Persons calibration;
  Persons held_out;
  double max_drop = 0;
  // How much worse than f32 the session is, in a unit of the caller's; empty: mean_px.
  std::function<double(runtime::Session&)> drop;
  std::function<void(const std::string&)> on_progress;  // a line at a time; may be empty
};

// `program` is in f32 with memory not planned. Error (bad input) without persons. Error (failed) where max_drop does
// not hold even in f32.
Program calibrate_int8(const Program& program, const Int8Request& request, Int8Report& report);

}  // namespace posefix::compiler
