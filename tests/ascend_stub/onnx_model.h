// An ONNX model of ours in the stub: read by the program's own reader, run by the reference backend.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "interpreter.h"

namespace ascend_stub {

// Inputs image [B,H,W,3] (BGR minus mean), pose [B,K,2], valid [B,K] -> coords [B,K,2], spread [B,K], all by name.
class OnnxModel {
 public:
  virtual ~OnnxModel() = default;
  virtual std::map<std::string, Value> run(const std::map<std::string, Value>& inputs) = 0;
};

// posefix::Error if it is not a pose network.
std::shared_ptr<OnnxModel> open_onnx(const std::string& bytes, int64_t largest_batch);

}  // namespace ascend_stub
