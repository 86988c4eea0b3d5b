// The interpreter's operators, under TensorFlow's and ONNX's names.
#include <algorithm>
#include <cmath>
#include <functional>

#include "base/error.h"
#include "exporters/interpreter.h"

namespace posefix::exporters {
namespace {

using Inputs = std::vector<const Array*>;

// Larger values do not occur in what is tried; a file that asks for them was made to exhaust memory.
constexpr int64_t kMaxElements = int64_t{1} << 24;

Array make(Shape shape) {
  int64_t count = 1;
  for (const int64_t dim : shape) {
    if (dim < 0 || dim > kMaxElements || (count *= dim) > kMaxElements) {
      throw bad_input("a value of shape {} is not expected here", to_string(shape));
    }
  }
  return {std::move(shape), std::vector<double>(static_cast<size_t>(count))};
}

const Array& input(const Inputs& in, size_t i) {
  if (i >= in.size() || in[i] == nullptr) throw bad_input("input {} is missing", i);
  return *in[i];
}

size_t axis_of(int64_t axis, size_t rank) {
  const int64_t positive = axis < 0 ? axis + static_cast<int64_t>(rank) : axis;
  if (positive < 0 || positive >= static_cast<int64_t>(rank))
    throw bad_input("axis {} of a value of rank {}", axis, rank);
  return static_cast<size_t>(positive);
}

std::vector<int64_t> integers(const Array& array) {
  std::vector<int64_t> values;
  for (const double value : array.values) {
    if (!(std::fabs(value) < 1e15)) throw bad_input("{} is not a whole number", value);
    values.push_back(static_cast<int64_t>(value));
  }
  return values;
}

double scalar(const Array& array) {
  if (array.values.size() != 1 || !(std::fabs(array.values[0]) < 1e15)) throw bad_input("expected one number");
  return array.values[0];
}

Shape strides_of(const Shape& shape) {
  Shape strides(shape.size(), 1);
  for (size_t d = shape.size(); d-- > 1;) strides[d - 1] = strides[d] * shape[d];
  return strides;
}

// Fills `out` from source(offset), where offset = base + sum of index[d] * step[d].
template <typename Source>
void gather(Array& out, const Shape& step, int64_t base, const Source& source) {
  Shape index(out.shape.size(), 0);
  int64_t offset = base;
  for (double& value : out.values) {
    value = source(static_cast<size_t>(offset));
    for (size_t d = index.size(); d-- > 0;) {
      offset += step[d];
      if (++index[d] < out.shape[d]) break;
      offset -= index[d] * step[d];
      index[d] = 0;
    }
  }
}

Shape broadcast_steps(const Shape& shape, const Shape& to) {
  const Shape strides = strides_of(shape);
  Shape steps(to.size(), 0);
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[shape.size() - 1 - i] != 1) steps[to.size() - 1 - i] = strides[shape.size() - 1 - i];
  }
  return steps;
}

Array broadcast(const Array& x, const Shape& to) {
  Array out = make(to);
  gather(out, broadcast_steps(x.shape, to), 0, [&](size_t i) { return x.values[i]; });
  return out;
}

Shape broadcast_shape(const Shape& a, const Shape& b) {
  Shape shape(std::max(a.size(), b.size()), 1);
  for (size_t i = 0; i < shape.size(); ++i) {
    const int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t y = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (x != y && x != 1 && y != 1) throw bad_input("shapes {} and {} do not broadcast", to_string(a), to_string(b));
    shape[shape.size() - 1 - i] = x == 1 ? y : x;
  }
  return shape;
}

template <typename F>
Array binary(const Inputs& in, const F& f) {
  const Shape shape = broadcast_shape(input(in, 0).shape, input(in, 1).shape);
  Array out = broadcast(input(in, 0), shape);
  const Array right = broadcast(input(in, 1), shape);
  for (size_t i = 0; i < out.values.size(); ++i) out.values[i] = f(out.values[i], right.values[i]);
  return out;
}

template <typename F>
Array unary(const Inputs& in, const F& f) {
  Array out = input(in, 0);
  for (double& value : out.values) value = f(value);
  return out;
}

Array reshape(const Array& x, std::vector<int64_t> shape, bool zero_copies) {
  int64_t known = 1;
  int64_t free = -1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0 && zero_copies) shape[i] = i < x.shape.size() ? x.shape[i] : 0;
    if (shape[i] == -1) {
      if (free >= 0) throw bad_input("a reshape with two free dimensions");
      free = static_cast<int64_t>(i);
    } else if (shape[i] < 0 || shape[i] > kMaxElements || (known *= shape[i]) > kMaxElements) {
      throw bad_input("a reshape to {}", to_string(shape));
    }
  }
  const auto count = static_cast<int64_t>(x.values.size());
  if (free >= 0) shape[static_cast<size_t>(free)] = known == 0 ? 0 : count / known;
  Array out{std::move(shape), x.values};
  if (element_count(out.shape) != count)
    throw bad_input("a reshape of {} to {}", to_string(x.shape), to_string(out.shape));
  return out;
}

Array transpose(const Array& x, const std::vector<int64_t>& order) {
  if (order.size() != x.shape.size())
    throw bad_input("a transpose by {} axes of rank {}", order.size(), x.shape.size());
  const Shape strides = strides_of(x.shape);
  std::vector<bool> used(order.size(), false);
  Shape shape;
  Shape steps;
  for (const int64_t from : order) {
    const size_t axis = axis_of(from, x.shape.size());
    if (used[axis]) throw bad_input("a transpose that uses axis {} twice", axis);
    used[axis] = true;
    shape.push_back(x.shape[axis]);
    steps.push_back(strides[axis]);
  }
  Array out = make(shape);
  gather(out, steps, 0, [&](size_t i) { return x.values[i]; });
  return out;
}

Array concat(const Inputs& in, int64_t axis_number) {
  const size_t axis = axis_of(axis_number, input(in, 0).shape.size());
  Shape shape = input(in, 0).shape;
  shape[axis] = 0;
  for (const Array* part : in) {
    if (part == nullptr || part->shape.size() != shape.size()) throw bad_input("the parts' ranks differ");
    for (size_t d = 0; d < shape.size(); ++d) {
      if (d != axis && part->shape[d] != shape[d]) throw bad_input("the parts' shapes differ");
    }
    shape[axis] += part->shape[axis];
  }
  Array out = make(shape);
  const int64_t inner = strides_of(shape)[axis];
  size_t at = 0;
  const int64_t outer = shape[axis] * inner == 0 ? 0 : static_cast<int64_t>(out.values.size()) / (shape[axis] * inner);
  for (int64_t o = 0; o < outer; ++o) {
    for (const Array* part : in) {
      const auto chunk = static_cast<size_t>(part->shape[axis] * inner);
      std::copy_n(part->values.begin() + static_cast<ptrdiff_t>(static_cast<size_t>(o) * chunk), chunk,
                  out.values.begin() + static_cast<ptrdiff_t>(at));
      at += chunk;
    }
  }
  return out;
}

Array softmax(const Array& x, int64_t axis_number) {
  const size_t axis = axis_of(axis_number, x.shape.size());
  Array out = x;
  const auto inner = static_cast<size_t>(strides_of(x.shape)[axis]);
  const auto length = static_cast<size_t>(x.shape[axis]);
  if (x.values.empty()) return out;
  for (size_t start = 0; start < x.values.size(); start += inner * length) {
    for (size_t i = start; i < start + inner; ++i) {
      double largest = -HUGE_VAL;
      double sum = 0;
      for (size_t k = 0; k < length; ++k) largest = std::max(largest, x.values[i + k * inner]);
      for (size_t k = 0; k < length; ++k)
        sum += out.values[i + k * inner] = std::exp(x.values[i + k * inner] - largest);
      for (size_t k = 0; k < length; ++k) out.values[i + k * inner] /= sum;
    }
  }
  return out;
}

Array reduce(const Array& x, const std::vector<int64_t>& axes, bool keep, bool mean) {
  Shape kept = x.shape;
  for (const int64_t axis : axes) kept[axis_of(axis, kept.size())] = 1;
  Array out = make(kept);
  const Shape steps = broadcast_steps(kept, x.shape);
  Array offsets{x.shape, std::vector<double>(x.values.size())};
  gather(offsets, steps, 0, [](size_t i) { return static_cast<double>(i); });
  for (size_t i = 0; i < x.values.size(); ++i) out.values[static_cast<size_t>(offsets.values[i])] += x.values[i];
  if (mean && !out.values.empty()) {
    for (double& value : out.values)
      value *= static_cast<double>(out.values.size()) / static_cast<double>(x.values.size());
  }
  if (keep) return out;
  Shape dropped;
  for (size_t d = 0; d < kept.size(); ++d) {
    const bool reduced = std::any_of(axes.begin(), axes.end(), [&](int64_t a) { return axis_of(a, kept.size()) == d; });
    if (!reduced) dropped.push_back(kept[d]);
  }
  out.shape = dropped;
  return out;
}

Array take(const Array& x, const Array& indices, int64_t axis_number) {
  const size_t axis = axis_of(axis_number, x.shape.size());
  Shape shape(x.shape.begin(), x.shape.begin() + static_cast<ptrdiff_t>(axis));
  shape.insert(shape.end(), indices.shape.begin(), indices.shape.end());
  shape.insert(shape.end(), x.shape.begin() + static_cast<ptrdiff_t>(axis) + 1, x.shape.end());
  Array out = make(shape);
  const auto inner = static_cast<size_t>(strides_of(x.shape)[axis]);
  const auto length = static_cast<size_t>(x.shape[axis]);
  size_t at = 0;
  const std::vector<int64_t> chosen = integers(indices);
  for (size_t outer = 0; at < out.values.size(); ++outer) {
    for (const int64_t index : chosen) {
      const int64_t positive = index < 0 ? index + static_cast<int64_t>(length) : index;
      if (positive < 0 || positive >= static_cast<int64_t>(length)) throw bad_input("index {} of {}", index, length);
      const size_t from = (outer * length + static_cast<size_t>(positive)) * inner;
      std::copy_n(x.values.begin() + static_cast<ptrdiff_t>(from), inner,
                  out.values.begin() + static_cast<ptrdiff_t>(at));
      at += inner;
    }
  }
  return out;
}

struct Range {
  int64_t begin;
  int64_t end;
  int64_t step;
};

// x[begin:end:step] along every axis; ends are clamped as in numpy.
Array slice(const Array& x, std::vector<Range> ranges) {
  const Shape strides = strides_of(x.shape);
  Shape shape;
  Shape steps;
  int64_t base = 0;
  for (size_t d = 0; d < x.shape.size(); ++d) {
    Range& range = ranges[d];
    const int64_t size = x.shape[d];
    if (range.step == 0) throw bad_input("a slice with step 0");
    if (range.begin < 0) range.begin = std::max<int64_t>(range.begin + size, range.step < 0 ? -1 : 0);
    if (range.end < 0) range.end = std::max<int64_t>(range.end + size, -1);
    const int64_t low = range.step < 0 ? -1 : 0;
    const int64_t high = range.step < 0 ? size - 1 : size;
    range.begin = std::clamp(range.begin, low, high);
    range.end = std::clamp(range.end, low, high);
    const int64_t span = range.step > 0 ? range.end - range.begin : range.begin - range.end;
    const int64_t stride = std::abs(range.step);
    const int64_t count = span <= 0 ? 0 : (span - 1) / stride + 1;
    shape.push_back(count);
    steps.push_back(count <= 1 ? 0 : strides[d] * range.step);
    base += strides[d] * (count == 0 ? 0 : range.begin);
  }
  Array out = make(shape);
  gather(out, steps, base, [&](size_t i) { return x.values.at(i); });
  return out;
}

Array strided_slice(const OpNode& node, const Inputs& in) {
  const Array& x = input(in, 0);
  const std::vector<int64_t> begin = integers(input(in, 1));
  const std::vector<int64_t> end = integers(input(in, 2));
  const std::vector<int64_t> step = integers(input(in, 3));
  if (node.integer("ellipsis_mask", 0) != 0 || node.integer("new_axis_mask", 0) != 0) {
    throw bad_input("ellipsis and new axes are not read");
  }
  if (begin.size() != end.size() || begin.size() != step.size() || begin.size() > x.shape.size()) {
    throw bad_input("a slice of {} axes of rank {}", begin.size(), x.shape.size());
  }
  const auto masked = [&](const char* mask, size_t d) { return ((node.integer(mask, 0) >> d) & 1) != 0; };
  std::vector<Range> ranges;
  for (size_t d = 0; d < x.shape.size(); ++d) {
    Range range{0, x.shape[d], 1};
    if (d < begin.size()) {
      const bool one = masked("shrink_axis_mask", d);
      range.step = one ? 1 : step[d];
      if (one || !masked("begin_mask", d)) range.begin = begin[d];
      if (!masked("end_mask", d)) range.end = end[d];
      if (range.step < 0 && (masked("begin_mask", d) || masked("end_mask", d)))
        throw bad_input("a reversed open slice");
      if (one) range.end = begin[d] == -1 ? x.shape[d] : begin[d] + 1;
    }
    ranges.push_back(range);
  }
  Array out = slice(x, ranges);
  Shape shape;
  for (size_t d = 0; d < out.shape.size(); ++d) {
    if (d >= begin.size() || !masked("shrink_axis_mask", d)) shape.push_back(out.shape[d]);
  }
  if (element_count(shape) != static_cast<int64_t>(out.values.size())) throw bad_input("a slice outside the value");
  out.shape = shape;
  return out;
}

Array onnx_slice(const Inputs& in) {
  const Array& x = input(in, 0);
  const std::vector<int64_t> begin = integers(input(in, 1));
  const std::vector<int64_t> end = integers(input(in, 2));
  std::vector<int64_t> axes;
  for (size_t i = 0; i < begin.size(); ++i) axes.push_back(static_cast<int64_t>(i));
  if (in.size() > 3 && in[3] != nullptr) axes = integers(*in[3]);
  std::vector<int64_t> step(begin.size(), 1);
  if (in.size() > 4 && in[4] != nullptr) step = integers(*in[4]);
  if (end.size() != begin.size() || axes.size() != begin.size() || step.size() != begin.size()) {
    throw bad_input("the slice's inputs differ in length");
  }
  std::vector<Range> ranges;
  for (const int64_t size : x.shape) ranges.push_back({0, size, 1});
  for (size_t i = 0; i < axes.size(); ++i) ranges[axis_of(axes[i], x.shape.size())] = {begin[i], end[i], step[i]};
  return slice(x, ranges);
}

Array unsqueeze(const Array& x, const std::vector<int64_t>& axes) {
  Shape shape(x.shape.size() + axes.size(), -1);
  for (const int64_t axis : axes) shape[axis_of(axis, shape.size())] = 1;
  size_t next = 0;
  for (int64_t& dim : shape) {
    if (dim == -1 && next < x.shape.size()) dim = x.shape[next++];
  }
  return reshape(x, shape, false);
}

Array squeeze(const Array& x, const std::vector<int64_t>& axes) {
  Shape shape;
  for (size_t d = 0; d < x.shape.size(); ++d) {
    const bool listed =
        std::any_of(axes.begin(), axes.end(), [&](int64_t a) { return axis_of(a, x.shape.size()) == d; });
    if (!(listed || (axes.empty() && x.shape[d] == 1))) shape.push_back(x.shape[d]);
  }
  return reshape(x, shape, false);
}

Array tile(const Array& x, const std::vector<int64_t>& times) {
  if (times.size() != x.shape.size()) throw bad_input("{} repetitions of rank {}", times.size(), x.shape.size());
  Array out = x;
  for (size_t d = 0; d < times.size(); ++d) {
    if (times[d] < 0 || times[d] > kMaxElements) throw bad_input("{} repetitions", times[d]);
    Shape wider = out.shape;
    wider[d] *= times[d];
    make(wider);  // refuses what is too large
    const std::vector<const Array*> parts(static_cast<size_t>(times[d]), &out);
    if (!parts.empty()) out = concat(parts, static_cast<int64_t>(d));
  }
  return out;
}

std::vector<int64_t> axes_of(const OpNode& node, const Inputs& in, size_t rank) {
  if (in.size() > 1 && in[1] != nullptr) return integers(*in[1]);
  std::vector<int64_t> all;
  for (size_t d = 0; d < rank; ++d) all.push_back(static_cast<int64_t>(d));
  return node.integers("axes", all);
}

std::vector<Array> split(const OpNode& node, const Inputs& in, size_t parts) {
  const Array& x = input(in, 0);
  const size_t axis = axis_of(node.integer("axis", 0), x.shape.size());
  std::vector<int64_t> sizes(parts, x.shape[axis] / static_cast<int64_t>(parts));
  if (in.size() > 1 && in[1] != nullptr) sizes = integers(*in[1]);
  std::vector<Array> outputs;
  int64_t at = 0;
  for (const int64_t size : sizes) {
    std::vector<Range> ranges;
    for (const int64_t dim : x.shape) ranges.push_back({0, dim, 1});
    ranges[axis] = {at, at + size, 1};
    outputs.push_back(slice(x, ranges));
    at += size;
  }
  if (outputs.size() != parts || at != x.shape[axis]) throw bad_input("the split does not add up");
  return outputs;
}

Array shape_array(const Array& x) {
  Array out = make({static_cast<int64_t>(x.shape.size())});
  for (size_t d = 0; d < x.shape.size(); ++d) out.values[d] = static_cast<double>(x.shape[d]);
  return out;
}

Array pack(const OpNode& node, const Inputs& in) {
  std::vector<Array> parts;
  Inputs pointers;
  for (size_t i = 0; i < in.size(); ++i) parts.push_back(unsqueeze(input(in, i), {node.integer("axis", 0)}));
  for (const Array& part : parts) pointers.push_back(&part);
  return concat(pointers, node.integer("axis", 0));
}

Array fill(const Array& shape, double value) {
  Array out = make(integers(shape));
  std::fill(out.values.begin(), out.values.end(), value);
  return out;
}

using Rule = std::function<Array(const OpNode&, Dialect, const Inputs&)>;

template <typename F>
Rule binary_rule(F f) {
  return [f](const OpNode&, Dialect, const Inputs& in) { return binary(in, f); };
}
template <typename F>
Rule unary_rule(F f) {
  return [f](const OpNode&, Dialect, const Inputs& in) { return unary(in, f); };
}
Rule reduce_rule(bool mean) {
  return [mean](const OpNode& n, Dialect d, const Inputs& in) {
    const bool keep = d == Dialect::kTensorFlow ? n.integer("keep_dims", 0) != 0 : n.integer("keepdims", 1) != 0;
    return reduce(input(in, 0), axes_of(n, in, input(in, 0).shape.size()), keep, mean);
  };
}

std::map<std::string, Rule, std::less<>> arithmetic_rules() {
  const Rule same = [](const OpNode&, Dialect, const Inputs& in) { return input(in, 0); };
  return {{"Add", binary_rule([](double a, double b) { return a + b; })},
          {"AddV2", binary_rule([](double a, double b) { return a + b; })},
          {"Sub", binary_rule([](double a, double b) { return a - b; })},
          {"Mul", binary_rule([](double a, double b) { return a * b; })},
          {"Div", binary_rule([](double a, double b) { return a / b; })},
          {"RealDiv", binary_rule([](double a, double b) { return a / b; })},
          {"Pow", binary_rule([](double a, double b) { return std::pow(a, b); })},
          {"SquaredDifference", binary_rule([](double a, double b) { return (a - b) * (a - b); })},
          {"Square", unary_rule([](double a) { return a * a; })},
          {"Sqrt", unary_rule([](double a) { return std::sqrt(a); })},
          {"Exp", unary_rule([](double a) { return std::exp(a); })},
          {"Neg", unary_rule([](double a) { return -a; })},
          {"Relu", unary_rule([](double a) { return std::max(a, 0.0); })},
          {"Cast", same},
          {"Identity", same},
          {"StopGradient", same},
          {"Sum", reduce_rule(false)},
          {"ReduceSum", reduce_rule(false)},
          {"Mean", reduce_rule(true)},
          {"ReduceMean", reduce_rule(true)}};
}

std::map<std::string, Rule, std::less<>> shape_rules() {
  using N = const OpNode&;
  using In = const Inputs&;
  return {
      {"Reshape",
       [](N n, Dialect d, In in) {
         return reshape(input(in, 0), integers(input(in, 1)), d == Dialect::kOnnx && n.integer("allowzero", 0) == 0);
       }},
      {"Transpose",
       [](N n, Dialect d, In in) {
         const Array& x = input(in, 0);
         if (d == Dialect::kTensorFlow) return transpose(x, integers(input(in, 1)));
         std::vector<int64_t> reversed;
         for (size_t i = x.shape.size(); i-- > 0;) reversed.push_back(static_cast<int64_t>(i));
         return transpose(x, n.integers("perm", reversed));
       }},
      {"ConcatV2",
       [](N, Dialect, In in) {
         const auto axis = static_cast<int64_t>(scalar(input(in, in.size() - 1)));
         return concat(Inputs(in.begin(), in.end() - 1), axis);
       }},
      {"Concat", [](N n, Dialect, In in) { return concat(in, n.integer("axis", 0)); }},
      {"Softmax",
       [](N n, Dialect d, In in) { return softmax(input(in, 0), d == Dialect::kOnnx ? n.integer("axis", -1) : -1); }},
      {"Gather", [](N n, Dialect, In in) { return take(input(in, 0), input(in, 1), n.integer("axis", 0)); }},
      {"GatherV2",
       [](N, Dialect, In in) { return take(input(in, 0), input(in, 1), static_cast<int64_t>(scalar(input(in, 2)))); }},
      {"StridedSlice", [](N n, Dialect, In in) { return strided_slice(n, in); }},
      {"Slice", [](N, Dialect, In in) { return onnx_slice(in); }},
      {"Unsqueeze", [](N n, Dialect, In in) { return unsqueeze(input(in, 0), axes_of(n, in, 0)); }},
      {"ExpandDims", [](N n, Dialect, In in) { return unsqueeze(input(in, 0), axes_of(n, in, 0)); }},
      {"Squeeze",
       [](N n, Dialect d, In in) {
         const bool has_input = d == Dialect::kOnnx && in.size() > 1 && in[1] != nullptr;
         return squeeze(input(in, 0),
                        has_input ? integers(*in[1]) : n.integers(d == Dialect::kOnnx ? "axes" : "squeeze_dims", {}));
       }},
      {"Tile", [](N, Dialect, In in) { return tile(input(in, 0), integers(input(in, 1))); }},
      {"Expand",
       [](N, Dialect, In in) {
         return broadcast(input(in, 0), broadcast_shape(input(in, 0).shape, integers(input(in, 1))));
       }},
      {"BroadcastTo",
       [](N, Dialect, In in) {
         const Shape shape = broadcast_shape(input(in, 0).shape, integers(input(in, 1)));
         return broadcast(input(in, 0), shape);
       }},
      {"Shape", [](N, Dialect, In in) { return shape_array(input(in, 0)); }},
      {"Pack", [](N n, Dialect, In in) { return pack(n, in); }},
      {"Fill", [](N, Dialect, In in) { return fill(input(in, 0), scalar(input(in, 1))); }},
  };
}

}  // namespace

void apply(const OpNode& node, Dialect dialect, const std::vector<const Array*>& in, std::vector<Array>& outputs) {
  static const std::map<std::string, Rule, std::less<>> arithmetic = arithmetic_rules();
  static const std::map<std::string, Rule, std::less<>> shapes = shape_rules();
  if (node.op == "Split" && dialect == Dialect::kOnnx) {
    outputs = split(node, in, outputs.size());
    return;
  }
  for (const auto* rules : {&arithmetic, &shapes}) {
    const auto found = rules->find(node.op);
    if (found == rules->end()) continue;
    if (outputs.size() != 1) throw bad_input("{} outputs", outputs.size());
    outputs[0] = found->second(node, dialect, in);
    return;
  }
  throw bad_input("this operator is not known here");
}

}  // namespace posefix::exporters
