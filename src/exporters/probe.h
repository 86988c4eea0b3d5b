// Finds out by trying what the arithmetic parts of a foreign graph do.
#pragma once

#include <string>

#include "exporters/op_graph.h"

namespace posefix::exporters {

enum class Layout { kNhwc, kNchw };

// What a foreign graph's inputs are called and how the picture lies.
struct Inputs {
  std::string image;
  std::string pose;
  std::string valid;
  Layout layout = Layout::kNhwc;
  int64_t batch = 1;  // 1 when free
  int64_t height = 0;
  int64_t width = 0;
  int64_t joints = 0;
};

// Recognises the three inputs by their shapes. Error (bad input) lists what was found.
Inputs find_inputs(const OpGraph& file);

// `value` should be 255*exp(-d^2/(2 sigma^2))*valid at every pixel of [B,H,W,K] or, in `layout`, [B,K,H,W]; returns
// sigma in px. Error (bad input) if it is anything else.
double probe_rendering(const OpGraph& file, const Inputs& inputs, const std::string& value, Layout layout);

// `output` should be factor * (expected x, y) of the softmax over `logits`, whose map is height x width; returns the
// factor. Error (bad input) if it is anything else.
double probe_decoding(const OpGraph& file, const Inputs& inputs, const std::string& logits, Layout layout,
                      int64_t height, int64_t width, const std::string& output);

}  // namespace posefix::exporters
