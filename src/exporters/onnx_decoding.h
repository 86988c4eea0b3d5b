// The ends of an ONNX network: heat maps to coordinates, and the flip test around all of it.
#pragma once

#include <string>

#include "exporters/onnx_file.h"
#include "exporters/onnx_write.h"

namespace posefix::exporters {

// `input`: one of the graph's three. Returns its mirror image's name; `width` of the picture in px.
std::string write_mirrored(OnnxFile& file, const graph::Node& input, int64_t width, const OnnxOptions& options);

// `value`: the heat maps in NCHW, `map` their shape [B,h,w,K], `stride` crop px a heat-map px. Makes the outputs coords
// and spread; with options.flip of the mean of both halves of the batch.
void write_decoding(OnnxFile& file, const std::string& value, const Shape& map, double stride,
                    const OnnxOptions& options);

}  // namespace posefix::exporters
