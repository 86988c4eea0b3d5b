// The network as a small typed graph: the one description that training, exporters and the compiler read.
//
// Invariants: nodes stand in topological order (inputs refer to earlier nodes); every node has one value, its type
// inferred when it is added; names are unique. Activations are NHWC f32, weights keep TensorFlow's layouts.
// Non-goals: control flow, dynamic ranks, several outputs per node. Weight values live beside it (NamedTensors).
//
// Dimension letters: B batch (kBatch), H W input height and width, h w = H/4 W/4 heat map, C channels, K joints.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor.h"

namespace posefix::graph {

inline constexpr int64_t kBatch = -1;  // the only symbolic dimension, always the first

enum class Op : uint8_t {
  kInput,            // named graph input                                   type as given
  kWeight,           // named variable                                      type as given
  kRenderPose,       // pose [B,K,2] crop_px, valid [B,K] -> [B,H,W,K]      255*exp(-d^2/(2 sigma^2))*valid
  kConcat,           // [B,H,W,C1], [B,H,W,C2], ... -> [B,H,W,C1+C2+...]
  kPad,              // [B,H,W,C] -> zeros added as attrs.pads
  kConv2d,           // x, weights [kh,kw,in,out] (, bias [out]) (, residual [B,H',W',out]) -> [B,H',W',out]
  kConvTranspose2d,  // x, weights [kh,kw,out,in] (, bias [out]) -> [B,H*s,W*s,out], TensorFlow's SAME
  kBatchNorm,        // x, gamma [C], beta, mean, variance -> x
  kBiasAdd,          // x, bias [C] -> x
  kRelu,             // x -> x
  kMaxPool,          // x -> VALID window attrs.kernel, attrs.stride
  kAdd,              // x, y of one type -> x + y
  kSoftArgmax,       // logits [B,h,w,K] -> [B,K,2] expected (x,y), heatmap_px
  kHeatmapSpread,    // logits [B,h,w,K] -> [B,K] sqrt(E|p - E p|^2), heatmap_px
  kScale,            // x -> x * attrs.factor
};

struct OpSchema {
  std::string_view name;  // "Conv2d"
  int min_inputs;
  int max_inputs;  // -1: any number
};
const OpSchema& schema(Op op);

// Only the fields that an op's comment above names are read; the others keep their defaults (verify() checks).
struct Attributes {
  int64_t stride = 1;
  int64_t kernel = 0;                       // kMaxPool
  std::array<int64_t, 4> pads{0, 0, 0, 0};  // top, bottom, left, right: kPad; kConv2d and kMaxPool after pad folding
  int64_t height = 0;                       // kRenderPose
  int64_t width = 0;                        // kRenderPose
  double sigma = 0;                         // kRenderPose, px
  double epsilon = 0;                       // kBatchNorm
  double factor = 1;                        // kScale
  bool relu = false;                        // kConv2d, kConvTranspose2d: after bias and residual (fused)
  bool has_bias = false;                    // kConv2d, kConvTranspose2d: third input is the bias
  bool has_residual = false;                // kConv2d: last input is added before the ReLU
  bool operator==(const Attributes&) const = default;
};

using NodeId = int32_t;

struct TensorType {
  DType dtype = DType::kF32;
  Shape shape;
  bool operator==(const TensorType&) const = default;
};

struct Node {
  Op op = Op::kInput;
  std::string name;
  std::vector<NodeId> inputs;
  Attributes attrs;
  TensorType type;
};

struct Output {
  std::string name;
  NodeId node;
};

class Graph {
 public:
  NodeId add_input(std::string name, TensorType type);
  NodeId add_weight(std::string name, Shape shape);
  // Infers the type; Error (bad input) names node, op, and what does not fit.
  NodeId add(Op op, std::string name, std::vector<NodeId> inputs, const Attributes& attrs = {});
  void add_output(std::string name, NodeId node);

  const std::vector<Node>& nodes() const { return nodes_; }
  const Node& node(NodeId id) const { return nodes_.at(static_cast<size_t>(id)); }
  const std::vector<Output>& outputs() const { return outputs_; }
  // The node of that name; Error if there is none (find) or -1 (find_or_none).
  NodeId find(std::string_view name) const;
  NodeId find_or_none(std::string_view name) const;
  // Ids of all nodes with that op, in order.
  std::vector<NodeId> all(Op op) const;

  // Re-checks every invariant; Error with the node's name. Run after building, reading and every pass.
  void verify() const;
  // One line a node: "%12 resnet_v1_50/block1/... = Conv2d(%10, %11) stride=2 : f32[B,64,48,256]".
  std::string to_text() const;

 private:
  std::vector<Node> nodes_;
  std::vector<Output> outputs_;
};

// Type of the value that `op` would compute. Error (bad input) if the inputs or attributes do not fit.
TensorType infer_type(Op op, const std::vector<const TensorType*>& inputs, const Attributes& attrs);

using posefix::to_string;
// "f32[B,64,48,256]"
std::string to_string(const TensorType& type);

}  // namespace posefix::graph
