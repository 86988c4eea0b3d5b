// A TensorFlow GraphDef, read from the wire with nothing but this file, so that the stub checks the emitted model
// independently of the program's own reader and writer.
#pragma once

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace ascend_stub {

using Shape = std::vector<int64_t>;

struct Value {
  Shape shape;
  std::vector<float> floats;
  std::vector<int64_t> ints;  // i32 and i64 constants
};

struct Attribute {
  std::string s;
  int64_t i = 0;
  float f = 0;
  bool b = false;
  int64_t type = 0;
  Shape shape;
  bool has_shape = false;
  bool has_tensor = false;
  Value tensor;
  std::vector<int64_t> list_i;
};

struct NodeDef {
  std::string name;
  std::string op;
  std::vector<std::string> inputs;  // without ":0"
  std::map<std::string, Attribute> attributes;

  const Attribute* find(const std::string& name) const;
  const Attribute& at(const std::string& name) const;  // std::runtime_error with the node's name
};

struct GraphDef {
  std::vector<NodeDef> nodes;
  const NodeDef* find(std::string_view name) const;
};

// std::runtime_error when the bytes are not a GraphDef.
GraphDef parse_graphdef(std::string_view bytes);

}  // namespace ascend_stub
