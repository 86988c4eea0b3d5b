// The stub's .om: a container around the model that its atc was given.
//
//   offset 0  8 bytes "STUBOM\r\n"
//          8  u64     N, length of the JSON
//         16  N bytes JSON: what atc worked out (below)
//       16+N          the model: a frozen GraphDef, or an ONNX file
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "graphdef.h"

namespace ascend_stub {

struct OmPort {
  std::string name;
  std::string dtype;  // f32, f16, u8
  Shape dims;         // -1 first for gears

  size_t element_bytes() const { return dtype == "f32" ? 4 : dtype == "f16" ? 2 : 1; }
  size_t person_elements() const;  // of one row of the batch
};

struct OmFile {
  std::string soc;
  std::string command;
  std::vector<int64_t> gears;  // empty: fixed
  int64_t batch = 0;           // largest
  std::vector<OmPort> inputs;
  std::vector<OmPort> outputs;    // names as in out_nodes: "mul_15:0"; of ONNX its own
  std::vector<double> aipp_mean;  // per channel, of the first input; empty without AIPP
  bool is_onnx = false;
  std::string graph;  // bytes

  // What the model needs on the device beside its inputs and outputs.
  size_t weight_bytes() const { return graph.size(); }
  size_t work_bytes() const { return static_cast<size_t>(batch) << 16; }
  // Of a port at the largest batch.
  size_t bytes(const OmPort& port) const {
    return static_cast<size_t>(batch) * port.person_elements() * port.element_bytes();
  }
};

std::string encode_om(const OmFile& om);
// std::runtime_error if it is not one.
OmFile decode_om(std::string_view bytes);

}  // namespace ascend_stub
