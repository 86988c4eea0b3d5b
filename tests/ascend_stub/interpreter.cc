#include "interpreter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

namespace ascend_stub {
namespace {

int64_t count(const Shape& shape) {
  int64_t n = 1;
  for (const int64_t d : shape) n *= d;
  return n;
}

Value zeros(Shape shape) {
  Value value;
  value.floats.assign(static_cast<size_t>(count(shape)), 0.0F);
  value.shape = std::move(shape);
  return value;
}

[[noreturn]] void fail(const NodeDef& node, const std::string& what) {
  throw std::runtime_error("node " + node.name + " (" + node.op + "): " + what);
}

using Inputs = std::vector<const Value*>;

// Height and width of a window op: 1 before and total padding for SAME, none for VALID.
struct Window {
  int64_t out;
  int64_t before;
};
Window window(const NodeDef& node, int64_t in, int64_t kernel, int64_t stride) {
  if (node.at("padding").s == "VALID") return {(in - kernel) / stride + 1, 0};
  const int64_t out = (in + stride - 1) / stride;
  return {out, std::max<int64_t>((out - 1) * stride + kernel - in, 0) / 2};
}

Value conv2d(const NodeDef& node, const Inputs& in, Mode mode) {
  const Shape& x = in[0]->shape;
  const Shape& w = in[1]->shape;
  const int64_t stride = node.at("strides").list_i.at(1);
  if (x.size() != 4 || w.size() != 4 || w[2] != x[3]) fail(node, "shapes do not fit");
  const Window h = window(node, x[1], w[0], stride);
  const Window v = window(node, x[2], w[1], stride);
  Value out = zeros({x[0], h.out, v.out, w[3]});
  if (mode == Mode::kShapes) return out;
  for (int64_t n = 0; n < x[0]; ++n) {
    for (int64_t oy = 0; oy < h.out; ++oy) {
      for (int64_t ox = 0; ox < v.out; ++ox) {
        float* result = &out.floats[static_cast<size_t>(((n * h.out + oy) * v.out + ox) * w[3])];
        for (int64_t ky = 0; ky < w[0]; ++ky) {
          const int64_t iy = oy * stride + ky - h.before;
          if (iy < 0 || iy >= x[1]) continue;
          for (int64_t kx = 0; kx < w[1]; ++kx) {
            const int64_t ix = ox * stride + kx - v.before;
            if (ix < 0 || ix >= x[2]) continue;
            const float* pixel = &in[0]->floats[static_cast<size_t>(((n * x[1] + iy) * x[2] + ix) * x[3])];
            const float* filter = &in[1]->floats[static_cast<size_t>((ky * w[1] + kx) * w[2] * w[3])];
            for (int64_t c = 0; c < w[2]; ++c) {
              for (int64_t o = 0; o < w[3]; ++o) result[o] += pixel[c] * filter[c * w[3] + o];
            }
          }
        }
      }
    }
  }
  return out;
}

// Inputs: input_sizes, filter [h,w,out,in], out_backprop. SAME: output = stride * input.
Value conv2d_backprop_input(const NodeDef& node, const Inputs& in, Mode mode) {
  const Shape& w = in[1]->shape;
  const Shape& x = in[2]->shape;
  // TensorFlow takes the whole size, or height and width alone (then the batch may be any).
  std::vector<int64_t> sizes = in[0]->ints;
  if (sizes.size() == 2) sizes = {x[0], sizes[0], sizes[1], w[2]};
  const int64_t stride = node.at("strides").list_i.at(1);
  if (sizes.size() != 4 || sizes[0] != x[0] || sizes[1] != x[1] * stride || sizes[2] != x[2] * stride ||
      sizes[3] != w[2] || w[3] != x[3]) {
    fail(node, "input_sizes, filter and out_backprop do not fit");
  }
  Value out = zeros({x[0], sizes[1], sizes[2], w[2]});
  if (mode == Mode::kShapes) return out;
  const int64_t before = std::max<int64_t>(w[0] - stride, 0) / 2;
  for (int64_t n = 0; n < x[0]; ++n) {
    for (int64_t iy = 0; iy < x[1]; ++iy) {
      for (int64_t ix = 0; ix < x[2]; ++ix) {
        const float* pixel = &in[2]->floats[static_cast<size_t>(((n * x[1] + iy) * x[2] + ix) * x[3])];
        for (int64_t ky = 0; ky < w[0]; ++ky) {
          const int64_t oy = iy * stride + ky - before;
          if (oy < 0 || oy >= sizes[1]) continue;
          for (int64_t kx = 0; kx < w[1]; ++kx) {
            const int64_t ox = ix * stride + kx - before;
            if (ox < 0 || ox >= sizes[2]) continue;
            float* result = &out.floats[static_cast<size_t>(((n * sizes[1] + oy) * sizes[2] + ox) * w[2])];
            const float* filter = &in[1]->floats[static_cast<size_t>((ky * w[1] + kx) * w[2] * w[3])];
            for (int64_t o = 0; o < w[2]; ++o) {
              float sum = 0;
              for (int64_t c = 0; c < w[3]; ++c) sum += pixel[c] * filter[o * w[3] + c];
              result[o] += sum;
            }
          }
        }
      }
    }
  }
  return out;
}

Value max_pool(const NodeDef& node, const Inputs& in) {
  const Shape& x = in[0]->shape;
  const int64_t stride = node.at("strides").list_i.at(1);
  const int64_t kernel = node.at("ksize").list_i.at(1);
  const Window h = window(node, x[1], kernel, stride);
  const Window v = window(node, x[2], kernel, stride);
  Value out = zeros({x[0], h.out, v.out, x[3]});
  std::fill(out.floats.begin(), out.floats.end(), -std::numeric_limits<float>::infinity());
  for (int64_t n = 0; n < x[0]; ++n) {
    for (int64_t i = 0; i < h.out * v.out * kernel * kernel; ++i) {
      const int64_t k = i % (kernel * kernel);
      const int64_t oy = i / (kernel * kernel) / v.out;
      const int64_t ox = i / (kernel * kernel) % v.out;
      const int64_t iy = oy * stride + k / kernel - h.before;
      const int64_t ix = ox * stride + k % kernel - v.before;
      if (iy < 0 || iy >= x[1] || ix < 0 || ix >= x[2]) continue;
      for (int64_t c = 0; c < x[3]; ++c) {
        float& result = out.floats[static_cast<size_t>(((n * h.out + oy) * v.out + ox) * x[3] + c)];
        result = std::max(result, in[0]->floats[static_cast<size_t>(((n * x[1] + iy) * x[2] + ix) * x[3] + c)]);
      }
    }
  }
  return out;
}

Value batch_norm(const NodeDef& node, const Inputs& in) {
  if (node.at("is_training").b) fail(node, "is_training must be false");
  const float epsilon = node.at("epsilon").f;
  Value out = *in[0];
  const size_t channels = in[1]->floats.size();
  for (size_t i = 0; i < out.floats.size(); ++i) {
    const size_t c = i % channels;
    const float scale = in[1]->floats[c] / std::sqrt(in[4]->floats[c] + epsilon);
    out.floats[i] = (out.floats[i] - in[3]->floats[c]) * scale + in[2]->floats[c];
  }
  return out;
}

Value softmax(const Inputs& in) {
  Value out = *in[0];
  const auto last = static_cast<size_t>(out.shape.back());
  for (size_t begin = 0; begin < out.floats.size(); begin += last) {
    float* row = &out.floats[begin];
    const float largest = *std::max_element(row, row + last);
    double sum = 0;
    for (size_t i = 0; i < last; ++i) sum += row[i] = std::exp(row[i] - largest);
    for (size_t i = 0; i < last; ++i) row[i] = static_cast<float>(row[i] / sum);
  }
  return out;
}

// Strides of `shape` aligned to the right of `rank` dimensions; 0 where it is repeated.
std::vector<int64_t> broadcast_strides(const Shape& shape, const Shape& out) {
  std::vector<int64_t> strides(out.size(), 0);
  int64_t stride = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    const size_t d = shape.size() - 1 - i;
    if (shape[d] != 1) strides[out.size() - 1 - i] = stride;
    stride *= shape[d];
  }
  return strides;
}

template <typename F>
Value elementwise(const NodeDef& node, const Inputs& in, const F& f) {
  const Shape& a = in[0]->shape;
  const Shape& b = in[1]->shape;
  Shape shape(std::max(a.size(), b.size()), 1);
  for (size_t i = 0; i < shape.size(); ++i) {
    const int64_t da = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t db = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (da != db && da != 1 && db != 1) fail(node, "shapes do not broadcast");
    shape[shape.size() - 1 - i] = std::max(da, db);
  }
  Value out = zeros(shape);
  const std::vector<int64_t> sa = broadcast_strides(a, shape);
  const std::vector<int64_t> sb = broadcast_strides(b, shape);
  std::vector<int64_t> index(shape.size(), 0);
  int64_t ia = 0;
  int64_t ib = 0;
  for (float& value : out.floats) {
    value = f(in[0]->floats[static_cast<size_t>(ia)], in[1]->floats[static_cast<size_t>(ib)]);
    for (size_t d = shape.size(); d-- > 0;) {
      ia += sa[d], ib += sb[d];
      if (++index[d] < shape[d]) break;
      ia -= sa[d] * shape[d], ib -= sb[d] * shape[d];
      index[d] = 0;
    }
  }
  return out;
}

template <typename F>
Value map(const Inputs& in, const F& f) {
  Value out = *in[0];
  for (float& value : out.floats) value = f(value);
  return out;
}

Value pad(const Inputs& in) {
  Shape shape = in[0]->shape;
  for (size_t d = 0; d < shape.size(); ++d) shape[d] += in[1]->ints.at(2 * d) + in[1]->ints.at(2 * d + 1);
  Value out = zeros(shape);
  std::vector<int64_t> index(shape.size(), 0);
  for (const float value : in[0]->floats) {
    int64_t at = 0;
    for (size_t d = 0; d < shape.size(); ++d) at = at * shape[d] + index[d] + in[1]->ints[2 * d];
    out.floats[static_cast<size_t>(at)] = value;
    for (size_t d = shape.size(); d-- > 0;) {
      if (++index[d] < in[0]->shape[d]) break;
      index[d] = 0;
    }
  }
  return out;
}

Value transpose(const Inputs& in) {
  const std::vector<int64_t>& order = in[1]->ints;
  const Shape& from = in[0]->shape;
  Shape shape;
  for (const int64_t d : order) shape.push_back(from.at(static_cast<size_t>(d)));
  std::vector<int64_t> strides(from.size(), 1);
  for (size_t d = from.size() - 1; d-- > 0;) strides[d] = strides[d + 1] * from[d + 1];
  Value out = zeros(shape);
  std::vector<int64_t> index(shape.size(), 0);
  for (float& value : out.floats) {
    int64_t at = 0;
    for (size_t d = 0; d < shape.size(); ++d) at += index[d] * strides[static_cast<size_t>(order[d])];
    value = in[0]->floats[static_cast<size_t>(at)];
    for (size_t d = shape.size(); d-- > 0;) {
      if (++index[d] < shape[d]) break;
      index[d] = 0;
    }
  }
  return out;
}

Value reshape(const NodeDef& node, const Inputs& in) {
  Value out = *in[0];
  out.shape = in[1]->ints;
  int64_t known = 1;
  for (const int64_t d : out.shape) known *= d == -1 ? 1 : d;
  const auto total = static_cast<int64_t>(out.floats.size());
  for (int64_t& d : out.shape) {
    if (d == -1) d = known == 0 ? 0 : total / known;
  }
  if (count(out.shape) != total) fail(node, "the batch of the shape does not fit");
  return out;
}

Value sum(const NodeDef& node, const Inputs& in) {
  const Shape& from = in[0]->shape;
  std::vector<bool> is_summed(from.size(), false);
  for (const int64_t axis : in[1]->ints) {
    is_summed.at(static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(from.size()) : axis)) = true;
  }
  const Attribute* keep_dims = node.find("keep_dims");
  Shape kept = from;
  Shape shape;
  for (size_t d = 0; d < from.size(); ++d) {
    if (is_summed[d]) kept[d] = 1;
    if (!is_summed[d] || (keep_dims != nullptr && keep_dims->b)) shape.push_back(kept[d]);
  }
  std::vector<double> sums(static_cast<size_t>(count(kept)), 0.0);
  const std::vector<int64_t> strides = broadcast_strides(kept, from);
  std::vector<int64_t> index(from.size(), 0);
  for (const float value : in[0]->floats) {
    int64_t at = 0;
    for (size_t d = 0; d < from.size(); ++d) at += index[d] * strides[d];
    sums[static_cast<size_t>(at)] += value;
    for (size_t d = from.size(); d-- > 0;) {
      if (++index[d] < from[d]) break;
      index[d] = 0;
    }
  }
  Value out = zeros(shape);
  for (size_t i = 0; i < sums.size(); ++i) out.floats[i] = static_cast<float>(sums[i]);
  return out;
}

Value concat(const NodeDef& node, const Inputs& in) {
  const size_t n = in.size() - 1;
  Shape shape = in[0]->shape;
  int64_t axis = in[n]->ints.at(0);
  if (axis < 0) axis += static_cast<int64_t>(shape.size());
  const auto at = static_cast<size_t>(axis);
  shape.at(at) = 0;
  int64_t outer = 1;
  for (size_t d = 0; d < at; ++d) outer *= shape[d];
  for (size_t i = 0; i < n; ++i) {
    Shape other = in[i]->shape;
    shape[at] += other.at(at);
    other[at] = 0;
    Shape first = in[0]->shape;
    first[at] = 0;
    if (other != first) fail(node, "shapes do not fit");
  }
  Value out = zeros(shape);
  auto write = out.floats.begin();
  for (int64_t o = 0; o < outer; ++o) {
    for (size_t i = 0; i < n; ++i) {
      const int64_t block = static_cast<int64_t>(in[i]->floats.size()) / outer;
      write = std::copy_n(in[i]->floats.begin() + o * block, block, write);
    }
  }
  return out;
}

Value tile(const Inputs& in) {
  Shape shape = in[0]->shape;
  for (size_t d = 0; d < shape.size(); ++d) shape[d] *= in[1]->ints.at(d);
  Value out = zeros(shape);
  std::vector<int64_t> index(shape.size(), 0);
  for (float& value : out.floats) {
    int64_t at = 0;
    for (size_t d = 0; d < shape.size(); ++d) at = at * in[0]->shape[d] + index[d] % in[0]->shape[d];
    value = in[0]->floats[static_cast<size_t>(at)];
    for (size_t d = shape.size(); d-- > 0;) {
      if (++index[d] < shape[d]) break;
      index[d] = 0;
    }
  }
  return out;
}

Value run_node(const NodeDef& node, const Inputs& in, Mode mode) {
  const std::string& op = node.op;
  if (op == "Conv2D") return conv2d(node, in, mode);
  if (op == "Conv2DBackpropInput") return conv2d_backprop_input(node, in, mode);
  if (op == "MaxPool") return max_pool(node, in);
  if (op == "FusedBatchNormV3") return batch_norm(node, in);
  if (op == "Softmax") return softmax(in);
  if (op == "Add" || op == "BiasAdd") return elementwise(node, in, [](float a, float b) { return a + b; });
  if (op == "Sub") return elementwise(node, in, [](float a, float b) { return a - b; });
  if (op == "Mul") return elementwise(node, in, [](float a, float b) { return a * b; });
  if (op == "Relu") return map(in, [](float v) { return std::max(v, 0.0F); });
  if (op == "Exp") return map(in, [](float v) { return std::exp(v); });
  if (op == "Square") return map(in, [](float v) { return v * v; });
  if (op == "Pad") return pad(in);
  if (op == "Transpose") return transpose(in);
  if (op == "Reshape") return reshape(node, in);
  if (op == "Sum") return sum(node, in);
  if (op == "ConcatV2") return concat(node, in);
  if (op == "Tile") return tile(in);
  fail(node, "the operator is not supported");
}

}  // namespace

const std::set<std::string>& known_operators() {
  static const std::set<std::string> names{"Placeholder",
                                           "Const",
                                           "Conv2D",
                                           "Conv2DBackpropInput",
                                           "FusedBatchNormV3",
                                           "Relu",
                                           "Softmax",
                                           "BiasAdd",
                                           "Add",
                                           "Sub",
                                           "Mul",
                                           "Sum",
                                           "Exp",
                                           "Square",
                                           "Pad",
                                           "Tile",
                                           "Reshape",
                                           "Transpose",
                                           "ConcatV2",
                                           "MaxPool"};
  return names;
}

Value execute(const GraphDef& graph, const std::map<std::string, Value>& placeholders, const std::string& output,
              Mode mode) {
  // From the output backwards, since a frozen graph's nodes need not be in order.
  std::map<std::string, Value> values;
  const std::function<const Value&(const std::string&)> value_of = [&](const std::string& name) -> const Value& {
    if (const auto found = values.find(name); found != values.end()) return found->second;
    const NodeDef* node = graph.find(name);
    if (node == nullptr) throw std::runtime_error("there is no node " + name);
    if (node->op == "Const") return node->at("value").tensor;
    if (node->op == "Placeholder") {
      const auto found = placeholders.find(name);
      if (found == placeholders.end()) throw std::runtime_error("no value for the placeholder " + name);
      return found->second;
    }
    Inputs inputs;
    for (const std::string& input : node->inputs) inputs.push_back(&value_of(input));
    return values.emplace(name, run_node(*node, inputs, mode)).first->second;
  };
  return value_of(output);
}

}  // namespace ascend_stub
