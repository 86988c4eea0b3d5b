// Op schemas and type inference.
#include <fmt/format.h>

#include <array>

#include "base/error.h"
#include "graph/graph.h"

namespace posefix::graph {
namespace {

using Types = std::vector<const TensorType*>;

constexpr std::array<OpSchema, 15> kSchemas{{
    {"Input", 0, 0},
    {"Weight", 0, 0},
    {"RenderPose", 2, 2},
    {"Concat", 2, -1},
    {"Pad", 1, 1},
    {"Conv2d", 2, 4},
    {"ConvTranspose2d", 2, 3},
    {"BatchNorm", 5, 5},
    {"BiasAdd", 2, 2},
    {"Relu", 1, 1},
    {"MaxPool", 1, 1},
    {"Add", 2, 2},
    {"SoftArgmax", 1, 1},
    {"HeatmapSpread", 1, 1},
    {"Scale", 1, 1},
}};

void require(bool condition, std::string_view what) {
  if (!condition) throw bad_input("{}", what);
}

const Shape& feature_map(const TensorType& type) {
  require(type.dtype == DType::kF32 && type.shape.size() == 4 && type.shape[0] == kBatch,
          "expected an f32 feature map [B,H,W,C], found " + to_string(type));
  return type.shape;
}

TensorType f32(Shape shape) { return {DType::kF32, std::move(shape)}; }

void require_channels(const TensorType& vector, int64_t channels, std::string_view what) {
  if (vector.dtype != DType::kF32 || vector.shape != Shape{channels}) {
    throw bad_input("{} must be f32[{}], found {}", what, channels, to_string(vector));
  }
}

int64_t window_count(int64_t size, int64_t before, int64_t after, int64_t kernel, int64_t stride) {
  require(stride > 0 && kernel > 0 && before >= 0 && after >= 0,
          "kernel and stride must be positive, pads not negative");
  const int64_t padded = size + before + after;
  if (padded < kernel) throw bad_input("a window of {} does not fit into {} padded pixels", kernel, padded);
  return (padded - kernel) / stride + 1;
}

TensorType infer_render_pose(const Types& in, const Attributes& attrs) {
  const Shape& pose = in[0]->shape;
  require(pose.size() == 3 && pose[0] == kBatch && pose[2] == 2, "pose must be f32[B,K,2]");
  require(in[1]->shape == Shape({kBatch, pose[1]}), "valid must be f32[B,K]");
  require(attrs.height > 0 && attrs.width > 0 && attrs.sigma > 0, "height, width and sigma must be positive");
  return f32({kBatch, attrs.height, attrs.width, pose[1]});
}

TensorType infer_concat(const Types& in) {
  Shape shape = feature_map(*in[0]);
  for (size_t i = 1; i < in.size(); ++i) {
    const Shape& other = feature_map(*in[i]);
    require(other[1] == shape[1] && other[2] == shape[2], "inputs differ in height or width");
    shape[3] += other[3];
  }
  return f32(shape);
}

TensorType infer_conv(const Types& in, const Attributes& attrs) {
  const Shape& x = feature_map(*in[0]);
  const Shape& w = in[1]->shape;
  require(in[1]->dtype == DType::kF32 && w.size() == 4, "weights must be f32[kh,kw,in,out]");
  if (w[2] != x[3]) throw bad_input("weights {} take {} channels, the input has {}", to_string(w), w[2], x[3]);
  const size_t expected = 2U + (attrs.has_bias ? 1 : 0) + (attrs.has_residual ? 1 : 0);
  require(in.size() == expected, "the number of inputs differs from has_bias and has_residual");
  TensorType out = f32({kBatch, window_count(x[1], attrs.pads[0], attrs.pads[1], w[0], attrs.stride),
                        window_count(x[2], attrs.pads[2], attrs.pads[3], w[1], attrs.stride), w[3]});
  if (attrs.has_bias) require_channels(*in[2], w[3], "bias");
  if (attrs.has_residual) require(*in.back() == out, "the residual's type differs from the result's");
  return out;
}

TensorType infer_conv_transpose(const Types& in, const Attributes& attrs) {
  const Shape& x = feature_map(*in[0]);
  const Shape& w = in[1]->shape;
  require(in[1]->dtype == DType::kF32 && w.size() == 4, "weights must be f32[kh,kw,out,in]");
  if (w[3] != x[3]) throw bad_input("weights {} take {} channels, the input has {}", to_string(w), w[3], x[3]);
  require(attrs.stride > 0 && w[0] >= attrs.stride && w[1] >= attrs.stride, "the kernel is smaller than the stride");
  require(in.size() == (attrs.has_bias ? 3U : 2U), "the number of inputs differs from has_bias");
  if (attrs.has_bias) require_channels(*in[2], w[2], "bias");
  return f32({kBatch, x[1] * attrs.stride, x[2] * attrs.stride, w[2]});
}

TensorType infer_batch_norm(const Types& in, const Attributes& attrs) {
  const Shape& x = feature_map(*in[0]);
  constexpr std::array<std::string_view, 4> kNames{"gamma", "beta", "mean", "variance"};
  for (size_t i = 0; i < kNames.size(); ++i) require_channels(*in[i + 1], x[3], kNames[i]);
  require(attrs.epsilon > 0, "epsilon must be positive");
  return f32(x);
}

TensorType infer_pad(const Types& in, const Attributes& attrs) {
  Shape shape = feature_map(*in[0]);
  for (int64_t pad : attrs.pads) require(pad >= 0, "pads must not be negative");
  shape[1] += attrs.pads[0] + attrs.pads[1];
  shape[2] += attrs.pads[2] + attrs.pads[3];
  return f32(shape);
}

TensorType infer_max_pool(const Types& in, const Attributes& attrs) {
  const Shape& x = feature_map(*in[0]);
  return f32({kBatch, window_count(x[1], attrs.pads[0], attrs.pads[1], attrs.kernel, attrs.stride),
              window_count(x[2], attrs.pads[2], attrs.pads[3], attrs.kernel, attrs.stride), x[3]});
}

}  // namespace

const OpSchema& schema(Op op) { return kSchemas.at(static_cast<size_t>(op)); }

TensorType infer_type(Op op, const Types& in, const Attributes& attrs) {
  const OpSchema& rule = schema(op);
  const auto count = static_cast<int>(in.size());
  if (count < rule.min_inputs || (rule.max_inputs >= 0 && count > rule.max_inputs)) {
    throw bad_input("{} takes {} to {} inputs, found {}", rule.name, rule.min_inputs, rule.max_inputs, count);
  }
  switch (op) {
    case Op::kInput:
    case Op::kWeight:
      throw bad_input("{} has no type of its own", rule.name);
    case Op::kRenderPose:
      return infer_render_pose(in, attrs);
    case Op::kConcat:
      return infer_concat(in);
    case Op::kPad:
      return infer_pad(in, attrs);
    case Op::kConv2d:
      return infer_conv(in, attrs);
    case Op::kConvTranspose2d:
      return infer_conv_transpose(in, attrs);
    case Op::kBatchNorm:
      return infer_batch_norm(in, attrs);
    case Op::kBiasAdd:
      require_channels(*in[1], feature_map(*in[0])[3], "bias");
      return *in[0];
    case Op::kRelu:
    case Op::kScale:
      require(in[0]->dtype == DType::kF32, "expected f32");
      return *in[0];
    case Op::kMaxPool:
      return infer_max_pool(in, attrs);
    case Op::kAdd:
      if (*in[0] != *in[1]) throw bad_input("{} and {} differ", to_string(*in[0]), to_string(*in[1]));
      return *in[0];
    case Op::kSoftArgmax:
      return f32({kBatch, feature_map(*in[0])[3], 2});
    case Op::kHeatmapSpread:
      return f32({kBatch, feature_map(*in[0])[3]});
  }
  throw bad_input("unknown op {}", static_cast<int>(op));
}

}  // namespace posefix::graph
