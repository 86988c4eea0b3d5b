#include "exporters/network_parts.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "base/error.h"

namespace posefix::exporters {

// Nodes stand in topological order: one sweep backwards.
std::set<graph::NodeId> needed_for(const graph::Graph& graph, graph::NodeId id) {
  std::set<graph::NodeId> needed{id};
  for (graph::NodeId i = id; i >= 0; --i) {
    if (!needed.contains(i)) continue;
    for (const graph::NodeId input : graph.node(i).inputs) needed.insert(input);
  }
  return needed;
}

Tensor weight_of(const graph::Node& node, const NamedTensors& weights) {
  const auto found = weights.find(node.name);
  if (found == weights.end()) throw bad_input("the weights do not hold it");
  Tensor value = found->second.to_f32();
  if (value.shape() != node.type.shape) {
    throw bad_input("its value is {}, expected {}", to_string(value.shape()), to_string(node.type.shape));
  }
  return value;
}

std::vector<float> positions(int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  return values;
}

std::vector<float> pixel_positions(int64_t height, int64_t width, bool is_y) {
  std::vector<float> values;
  values.reserve(static_cast<size_t>(height * width));
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) values.push_back(static_cast<float>(is_y ? y : x));
  }
  return values;
}

std::string serialised(const google::protobuf::MessageLite& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

}  // namespace posefix::exporters
