// An ONNX model while it is written: nodes, constants, inputs and outputs under unique names.
//
// Every method that makes a value returns its name, which is the name that was asked for. Error (bad input): it is
// taken.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/tensor.h"
#include "onnx_model.pb.h"

namespace posefix::exporters {

struct OnnxAttribute {
  std::string name;
  std::vector<int64_t> ints;
  bool is_list = true;
};
inline OnnxAttribute single(const std::string& name, int64_t value) { return {name, {value}, false}; }

class OnnxFile {
 public:
  // batch 0: any.
  OnnxFile(int64_t opset, int64_t batch);

  void property(const std::string& key, const std::string& value);
  // shape[0] is the batch, whatever stands there.
  std::string input(const std::string& name, const Shape& shape);
  void output(const std::string& name, const Shape& shape);
  std::string op(const std::string& type, const std::string& name, const std::vector<std::string>& inputs,
                 const std::vector<OnnxAttribute>& attributes = {});
  // A second result of the node that op() has just made.
  std::string further_output(const std::string& name);
  std::string ints(const std::string& name, const std::vector<int64_t>& values);
  std::string floats(const std::string& name, const Shape& shape, std::span<const float> values);
  std::string scalar(const std::string& name, double value);  // of shape [1]

  // The node that op() has just made; null before the first.
  onnx::NodeProto* last_node();
  std::string bytes() const;

 private:
  void take_name(const std::string& name);
  std::string constant(const std::string& name, int32_t type, const Shape& shape, std::span<const std::byte> bytes);
  void set_type(onnx::ValueInfoProto& info, const std::string& name, const Shape& shape) const;

  onnx::ModelProto model_;
  int64_t batch_;
  std::set<std::string> names_;
};

}  // namespace posefix::exporters
